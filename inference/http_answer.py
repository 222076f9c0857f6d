"""What goes back to one client of the hot path: one JSON body, or server-sent events, over bare ASGI."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson

from tenants.errors import AtriumError
from tenants.ids import uuid7

from .relay import Entry

Send = Callable[[dict[str, Any]], Awaitable[None]]


def chat_error(error: bytes, before: bytes) -> bytes:
    """The last event of a chat stream that broke off: the error's body as it is."""
    return b"data: " + error + b"\n\n"


class AnswerLost(AtriumError):
    """Redis was lost with parts of an answer in it."""

    status = 502
    type = "server_error"
    code = "answer_lost"

    def __init__(self) -> None:
        super().__init__("Part of the answer was lost on its way to you. It was made, and is metered. Ask again.")


class HttpAnswer:
    """One answer. Its head is sent at the last moment, so that an early failure keeps its status.

    Args:
        stream_error: the body of an error and the events before it → the event that ends a stream with it.
    """

    def __init__(self, send: Send, *, stream_error: Callable[[bytes, bytes], bytes] = chat_error) -> None:
        self._send = send
        self._stream_error = stream_error
        self._latest = b""
        self._started = time.perf_counter()
        self._streaming = False
        self._streamed = 0
        self.complete = False
        self.status = 499
        self.request_id = uuid7().hex
        self.headers: dict[str, str] = {}

    @property
    def knows_limits(self) -> bool:
        """Whether it carries the rate-limit headers already, or is beyond that."""
        return self.complete or self._streaming or "RateLimit" in self.headers

    async def json(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        await self._head(status, "application/json", {"content-length": str(len(body)), **(headers or {})})
        await self._send({"type": "http.response.body", "body": body})
        self.complete = True

    async def refuse(self, error: AtriumError) -> None:
        """An error, in the form that fits what was already sent."""
        if not self.complete:
            await self.fail(Entry("error", orjson.dumps(error.body()), error.status, error.headers))

    async def fail(self, entry: Entry) -> None:
        """A worker's error: with its status, or inside a stream that has begun."""
        data = self._identified(entry.data)
        if self._streaming:
            await self.end(self._stream_error(data, self._latest))
        else:
            await self.json(entry.status, data, entry.headers)

    def _identified(self, error: bytes) -> bytes:
        """The error with the id by which it can be asked about."""
        body = orjson.loads(error)
        body["error"]["request_id"] = self.request_id
        return orjson.dumps(body)

    async def from_row(self, row: dict[str, Any] | None, *, stream: bool) -> None:
        """What the generation's row says, where its last entry was lost. A stream cannot be told from it."""
        if row is not None and row["answer"] is not None and not stream:
            await self.json(200, orjson.dumps(row["answer"]))
            return
        known = row["error"] if row else None
        await self.fail(Entry("error", orjson.dumps(known or AnswerLost().body()), 502))

    async def chunk(self, data: bytes) -> None:
        """Server-sent events."""
        if not self._streaming:
            self._streaming = True
            await self._head(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"})
        self._latest = data
        self._streamed += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def keep_alive(self) -> None:
        """A comment line, in a stream that has begun."""
        if self._streaming:
            await self._send({"type": "http.response.body", "body": b": keepalive\n\n", "more_body": True})

    async def end(self, data: bytes, total: int | None = None) -> None:
        """The last of a stream; an error instead where it has not `total` bytes in all."""
        if total is not None and self._streamed + len(data) != total:
            await self.refuse(AnswerLost())
            return
        await self.chunk(data)
        await self._send({"type": "http.response.body", "body": b""})
        self.complete = True

    async def _head(self, status: int, content_type: str, more: dict[str, str]) -> None:
        self.status = status
        elapsed = round((time.perf_counter() - self._started) * 1000)
        headers = {
            "content-type": content_type,
            "x-request-id": self.request_id,
            "openai-processing-ms": str(elapsed),
            "x-content-type-options": "nosniff",
            **self.headers,
            **more,
        }
        await self._send({"type": "http.response.start", "status": status, "headers": list(_encoded(headers.items()))})


def _encoded(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[bytes, bytes]]:
    return ((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers)
