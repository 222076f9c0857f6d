"""Chat models of any server that speaks OpenAI's HTTP API: OpenAI, vLLM, Ollama, llama.cpp and their like.

On the event loop of the worker, so that a thousand streams need no thousand threads. The client does not retry by
itself: routing decides, so that there is one retry layer. A call is broken off by cancelling its task, which hangs up.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
import orjson
from django.conf import settings

from .base import Chunk, Completion, Prompt, ProviderError
from .openai_wire import (
    MAX_ANSWER_BYTES,
    completion_of,
    garbage,
    json_object,
    request_body,
    status_error,
    take_event,
)

_LAST_CHUNK_SECONDS = 0.2
_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


def session() -> aiohttp.ClientSession:
    """The running loop's session: its connections are kept for the next call."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60)
        found = _sessions[loop] = aiohttp.ClientSession(connector=connector, auto_decompress=True)
    return found


async def close_session() -> None:
    """Hang up on all servers."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()


class OpenAIChat:
    """One deployment behind `base_url`."""

    def __init__(self, *, base_url: str, model: str, api_key: str) -> None:
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    async def complete(self, prompt: Prompt) -> Completion:
        """One POST, one JSON answer."""
        async with self._answer(request_body(prompt, self._model)) as answer:
            return completion_of(await _whole(answer))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """One POST, server-sent events; what arrives together is yielded together."""
        body = request_body(prompt, self._model) | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._answer(body) as answer:
            if "text/event-stream" not in answer.content_type:
                raise garbage(f"{answer.content_type!r} instead of an event stream")
            events = _Events()
            async for data in answer.content.iter_any():
                chunk = events.take(data)
                if chunk.choices or chunk.usage:
                    yield chunk
                if events.done:
                    await _read_out(answer)
                    break
            events.finish()

    @asynccontextmanager
    async def _answer(self, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.UPSTREAM_CONNECT_SECONDS, sock_read=settings.UPSTREAM_READ_SECONDS
        )
        try:
            async with session().post(
                self._url, data=orjson.dumps(body), headers=self._headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise status_error(answer.status, answer.headers, await _whole(answer))
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _transport_error(error) from error


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise garbage("an answer of more than 32 MiB")
        parts.append(part)
    return b"".join(parts)


async def _read_out(answer: aiohttp.ClientResponse) -> None:
    """Read the last, empty chunk of a stream that said [DONE], so that its connection can serve another call.

    Servers that keep the stream open get no more than a moment's patience; their connection is closed.
    """
    try:
        async with asyncio.timeout(_LAST_CHUNK_SECONDS):
            while not answer.content.at_eof():
                await answer.content.readany()
    except TimeoutError:
        answer.close()


class _Events:
    """The events of one stream, cut from bytes as they arrive."""

    def __init__(self) -> None:
        self._rest = b""
        self._began = self._finished = False
        self.done = False

    def take(self, data: bytes) -> Chunk:
        """The events that `data` completes."""
        # A line may end with \r\n; events are separated by blank lines, which are skipped like comments.
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_ANSWER_BYTES:
            raise garbage("an event without an end")
        chunk = Chunk()
        for line in lines:
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    self.done = True
                    break
                self._finished |= take_event(chunk, json_object(payload))
        self._began |= bool(chunk.choices)
        return chunk

    def finish(self) -> None:
        """The stream has ended.

        Raises:
            ProviderError: in the middle of an answer, or before one began.
        """
        if not (self.done or self._finished):
            text = "The model's server broke off in the middle of its answer."
            raise ProviderError(text, code="upstream_broke_off")
        if not self._began:
            raise garbage("an answer without choices")


def _transport_error(error: Exception) -> ProviderError:
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        return ProviderError("The model's server cannot be reached.", code="upstream_unreachable", status=503)
    if isinstance(error, TimeoutError):
        return ProviderError("The model's server did not answer in time.", code="upstream_timeout", status=504)
    return ProviderError("The connection to the model's server broke.", code="upstream_broke_off")
