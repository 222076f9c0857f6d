"""Any server that speaks OpenAI's HTTP API: OpenAI, vLLM, Ollama, llama.cpp and their like.

Measured on the hot path, urllib3 costs about half a millisecond a call, a third of what richer clients do. The client
does not retry by itself: routing decides, so that there is one retry layer.
"""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from .base import Cancellation, Cancelled, Chunk, Completion, Prompt, ProviderError, Usage

#: An answer or a single event beyond this is garbage, not text.
_MAX_ANSWER_BYTES = 32 * 1024 * 1024
_READ_BYTES = 64 * 1024
_LAST_CHUNK_SECONDS = 0.2


class _Line:
    """The socket of one call. Another thread may shut it down, from before the answer begins until it is let go:
    a close alone would not wake the thread that reads from it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._broken = False

    def hold(self, held: socket.socket | None) -> None:
        """The call goes over `held`."""
        with self._lock:
            self._socket = held
            if self._broken:
                self._shut_down()

    def let_go(self) -> socket.socket | None:
        """The call is over; its socket, if it had one, may serve another."""
        with self._lock:
            held, self._socket = self._socket, None
            return held

    def close(self) -> None:
        """Break the call off."""
        with self._lock:
            self._broken = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the server was faster
                # Not the TLS socket's own method, which takes the reader's state away under it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_line: ContextVar[_Line] = ContextVar("line")


class _HTTPConnection(HTTPConnection):
    def getresponse(self) -> Any:
        """The wait for an answer, which can be long, is where a call is most often broken off."""
        _line.get().hold(self.sock)
        return super().getresponse()


class _HTTPSConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        """As without TLS."""
        _line.get().hold(self.sock)
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
        data = _json_object(self._post("/chat/completions", self._body(prompt), cancellation).read())
        choices = data.get("choices")
        if not isinstance(choices, list) or not choices:
            raise _garbage("an answer without choices")
        if not all(_has(choice, "message") and choice.get("message") is not None for choice in choices):
            raise _garbage("choices without messages")
        return Completion(choices, _usage(data.get("usage")))

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[Chunk]:
        """One POST, server-sent events; what arrives together is yielded together."""
        body = self._body(prompt) | {"stream": True, "stream_options": {"include_usage": True}}
        answer = self._post("/chat/completions", body, cancellation)
        done = False
        try:
            if "text/event-stream" not in answer.content_type:
                raise _garbage(f"{answer.content_type!r} instead of an event stream")
            rest, began, finished = b"", False, False
            for data in answer.parts():
                # A line may end with \r\n; events are separated by blank lines, which are skipped like comments.
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                if len(rest) > _MAX_ANSWER_BYTES:
                    raise _garbage("an event without an end")
                chunk = Chunk()
                for line in lines:
                    if line.startswith(b"data:"):
                        payload = line[5:].strip()
                        if payload == b"[DONE]":
                            done = True
                            break
                        finished |= _take(chunk, _json_object(payload))
                began |= bool(chunk.choices)
                if chunk.choices or chunk.usage:
                    yield chunk
                if done:
                    break
            if not (done or finished):
                text = "The model's server broke off in the middle of its answer."
                raise ProviderError(text, code="upstream_broke_off")
            if not began:
                raise _garbage("an answer without choices")
        finally:
            if done:
                answer.give_back()
            else:
                answer.close()

    def embed(self, texts: list[str], cancellation: Cancellation | None = None) -> tuple[list[Any], int]:
        """(vectors, prompt tokens) of `texts`, in their order; a vector is a sequence of floats.

        base64 is asked for, a third of the bytes and a tenth of the work; servers that do not know it send numbers.
        """
        body = {"model": self._model, "input": texts, "encoding_format": "base64"}
        data = _json_object(self._post("/embeddings", body, cancellation).read())
        rows = data.get("data")
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise _garbage("another number of embeddings than texts")
        try:
            vectors = [_vector(row["embedding"]) for row in sorted(rows, key=lambda row: row["index"])]
        except (KeyError, TypeError, ValueError) as error:
            raise _garbage("embeddings without vectors") from error
        return vectors, int((data.get("usage") or {}).get("prompt_tokens") or 0)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        return {**prompt.body, "model": self._model, prompt.limit_member: prompt.max_output_tokens}

    def _post(self, path: str, body: dict[str, Any], cancellation: Cancellation | None) -> "_Answer":
        timeout = urllib3.Timeout(connect=settings.UPSTREAM_CONNECT_SECONDS, read=settings.UPSTREAM_READ_SECONDS)
        line = _Line()
        if cancellation is not None:
            cancellation.watch(line)
        _line.set(line)
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
            raise _status_error(response, answer.read())
        return answer


class _Answer:
    """What a server answers, read part by part. Its connection is let go exactly once: given back or closed."""

    def __init__(self, response: urllib3.HTTPResponse, line: _Line, cancellation: Cancellation | None) -> None:
        self._response = response
        self._line = line
        self._cancellation = cancellation
        self.content_type = response.headers.get("content-type", "")

    def read(self) -> bytes:
        """All of it."""
        parts, size = [], 0
        for part in self.parts():
            size += len(part)
            if size > _MAX_ANSWER_BYTES:
                self.close()
                raise _garbage("an answer of more than 32 MiB")
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

    def give_back(self) -> None:
        """Return the connection of a stream that said [DONE], once its last, empty chunk is read; close it otherwise.

        A connection given back before would hand that chunk to the next call. Servers that keep the stream open get
        no more than a moment's patience.
        """
        held = self._line.let_go()
        if held is None or self._response.connection is None:
            self._response.close()  # a server that ends the connection with its answer
            return
        held.settimeout(_LAST_CHUNK_SECONDS)
        try:
            while self._response.read1(_READ_BYTES):
                pass
        except (HTTPError, OSError):
            self._response.close()
            return
        self._response.release_conn()

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


def _take(chunk: Chunk, data: dict[str, Any]) -> bool:
    """Add an event to `chunk`; true when it finishes a choice."""
    if "error" in data:
        error = data["error"] if isinstance(data["error"], dict) else {"message": str(data["error"])}
        raise ProviderError(str(error.get("message", "The model's server failed.")), code="upstream_error")
    choices = data.get("choices")
    if choices is not None and not (isinstance(choices, list) and all(_has(choice, "delta") for choice in choices)):
        raise _garbage("choices that are none")
    if choices:
        chunk.choices.append(choices)
    if data.get("usage"):
        chunk.usage = _usage(data["usage"])
    return any(choice.get("finish_reason") for choice in choices or ())


def _has(choice: Any, member: str) -> bool:
    """Whether it is a choice, with an object under `member` if it has that at all."""
    return isinstance(choice, dict) and isinstance(choice.get(member) or {}, dict)


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        decoded = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _garbage("something that is not JSON") from error
    if not isinstance(decoded, dict):
        raise _garbage("JSON that is not an object")
    return decoded


def _usage(data: Any) -> Usage | None:
    if not isinstance(data, dict):
        return None
    try:
        return Usage(
            input_tokens=max(0, int(data["prompt_tokens"])),
            output_tokens=max(0, int(data["completion_tokens"])),
            cached_input_tokens=int((data.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
            reasoning_tokens=int((data.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _garbage(what: str) -> ProviderError:
    return ProviderError(f"The model's server sent {what}.", code="upstream_garbage")


def _transport_error(error: Exception) -> ProviderError:
    if isinstance(error, ConnectTimeoutError | NewConnectionError):
        return ProviderError("The model's server cannot be reached.", code="upstream_unreachable", status=503)
    if isinstance(error, ReadTimeoutError):
        return ProviderError("The model's server did not answer in time.", code="upstream_timeout", status=504)
    return ProviderError("The connection to the model's server broke.", code="upstream_broke_off")


def _status_error(response: urllib3.BaseHTTPResponse, body: bytes) -> ProviderError:
    """The upstream's refusal in our taxonomy; 4xx about the request itself are the client's to read."""
    try:
        error = orjson.loads(body).get("error")
        said = error if isinstance(error, dict) else {"message": str(error)}
    except (orjson.JSONDecodeError, AttributeError):
        said = {}
    message = str(said.get("message") or f"The model's server answered {response.status}.")[:2000]
    if response.status in (400, 413, 422):
        code = str(said.get("code") or "upstream_refused")
        param = said.get("param") if isinstance(said.get("param"), str) else None
        return ProviderError(message, code=code, status=400, temporary=False, param=param)
    if response.status in (401, 403):
        text = "The platform's credentials for this model were refused."
        return ProviderError(text, code="upstream_credentials", temporary=False)
    if response.status == 404:
        return ProviderError(
            "The model's server does not know the model.", code="upstream_model_missing", temporary=False
        )
    if response.status == 429:
        after = response.headers.get("retry-after", "")
        wait = float(after) if after.replace(".", "", 1).isdecimal() else 1.0
        return ProviderError(
            "The model's server is overloaded.", code="upstream_rate_limited", status=503, retry_after=wait
        )
    return ProviderError("The model's server failed.", code="upstream_error")
