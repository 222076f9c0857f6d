"""Any server that speaks OpenAI's HTTP API, asked from threads: embeddings, and short texts for search.

Answers to customers are asked for on the event loop, by `openai_chat`. The client does not retry by itself: its callers
decide, so that there is one retry layer.
"""

import base64
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from .base import Cancellation, Cancelled, Completion, Prompt, ProviderError
from .line import Line, current_line, hold
from .openai_wire import MAX_ANSWER_BYTES, completion_of, garbage, json_object, request_body, status_error

_READ_BYTES = 64 * 1024


class _HTTPConnection(HTTPConnection):
    def getresponse(self) -> Any:
        """The wait for an answer, which can be long, is where a call is most often broken off."""
        hold(self.sock)
        return super().getresponse()


class _HTTPSConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        """As without TLS."""
        hold(self.sock)
        return super().getresponse()


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


@lru_cache(maxsize=1)
def _pool() -> urllib3.PoolManager:
    pool = urllib3.PoolManager(num_pools=50, maxsize=128, block=False, retries=False)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


class OpenAICompatible:
    """One deployment behind `base_url`."""

    def __init__(self, *, base_url: str, model: str, api_key: str) -> None:
        self._url = base_url.rstrip("/")
        self._model = model
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        """One POST, one JSON answer."""
        body = request_body(prompt, self._model)
        return completion_of(self._post("/chat/completions", body, cancellation).read())

    def embed(
        self, texts: Sequence[str | list[int]], cancellation: Cancellation | None = None
    ) -> tuple[list[Any], int]:
        """(vectors, prompt tokens) of `texts` or token arrays, in their order; a vector is a sequence of floats.

        base64 is asked for, a third of the bytes and a tenth of the work; servers that do not know it send numbers.
        """
        body = {"model": self._model, "input": texts, "encoding_format": "base64"}
        data = json_object(self._post("/embeddings", body, cancellation).read())
        rows = data.get("data")
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise garbage("another number of embeddings than texts")
        try:
            vectors = [_vector(row["embedding"]) for row in sorted(rows, key=lambda row: row["index"])]
        except (KeyError, TypeError, ValueError) as error:
            raise garbage("embeddings without vectors") from error
        return vectors, int((data.get("usage") or {}).get("prompt_tokens") or 0)

    def _post(self, path: str, body: dict[str, Any], cancellation: Cancellation | None) -> "_Answer":
        timeout = urllib3.Timeout(connect=settings.UPSTREAM_CONNECT_SECONDS, read=settings.UPSTREAM_READ_SECONDS)
        line = Line()
        if cancellation is not None:
            cancellation.watch(line)
        current_line.set(line)
        try:
            response = _pool().request(
                "POST",
                self._url + path,
                body=orjson.dumps(body),
                headers=self._headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            line.let_go()
            if cancellation is not None and cancellation.requested:
                raise Cancelled from error
            raise _transport_error(error) from error
        assert isinstance(response, urllib3.HTTPResponse)
        answer = _Answer(response, line, cancellation)
        if response.status != 200:
            raise status_error(response.status, response.headers, answer.read())
        return answer


class _Answer:
    """What a server answers, read part by part. Its connection is let go exactly once: given back or closed."""

    def __init__(self, response: urllib3.HTTPResponse, line: Line, cancellation: Cancellation | None) -> None:
        self._response = response
        self._line = line
        self._cancellation = cancellation

    def read(self) -> bytes:
        """All of it."""
        parts, size = [], 0
        for part in self.parts():
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                self.close()
                raise garbage("an answer of more than 32 MiB")
            parts.append(part)
        self._line.let_go()
        self._response.release_conn()
        return b"".join(parts)

    def parts(self) -> Iterator[bytes]:
        """As they arrive."""
        while True:
            try:
                part = self._response.read1(_READ_BYTES)
            except (HTTPError, OSError, ValueError, AttributeError) as error:
                # Breaking off from another thread shows as any of these in the reader.
                self.close()
                if self._cancelled():
                    raise Cancelled from error
                raise _transport_error(error) from error
            if self._cancelled():
                self.close()
                raise Cancelled
            if not part:
                return
            yield part

    def close(self) -> None:
        """Hang up."""
        self._line.let_go()
        self._response.close()

    def _cancelled(self) -> bool:
        return self._cancellation is not None and self._cancellation.requested


def _vector(embedding: Any) -> Any:
    """Numbers as they are; base64 is of little-endian float32."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return embedding


def _transport_error(error: Exception) -> ProviderError:
    if isinstance(error, ConnectTimeoutError | NewConnectionError):
        return ProviderError("The model's server cannot be reached.", code="upstream_unreachable", status=503)
    if isinstance(error, ReadTimeoutError):
        return ProviderError("The model's server did not answer in time.", code="upstream_timeout", status=504)
    return ProviderError("The connection to the model's server broke.", code="upstream_broke_off")
