"""From worker to client: one Redis stream per web process, its *inbox*, entries tagged by generation.

A worker appends; the web process has one reader that hands entries to the requests that wait. Chunks that arrive
together travel together, already in their wire form, so the web tier copies bytes. A stream remembers: a reader whose
connection broke goes on where it was. An inbox nobody reads expires.

Entries carry `g` (generation id, 16 bytes), `k` (kind) and `d` (data):
`chunk` server-sent events to pass on, `end` the last of them, `answer` a JSON body, `error` a JSON body whose status
is in `s` and headers in `h`. `end` says in `t` how many bytes the whole stream has: a Redis that was killed takes with
it what nobody had read, and a hole in an answer must not look like an answer.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson
import redis
import structlog
from redis.exceptions import RedisError

from tenants.redis_line import RedisLine

log = structlog.get_logger("atrium.relay")

#: Enough for every stream of a process to be a few hundred entries behind; older ones were read long ago.
_INBOX_LENGTH = 50_000
_INBOX_SECONDS = 600
#: The channel on which the web tier names generations (16 bytes) whose clients have gone.
CANCELLATIONS = "cancellations"

#: Short beside the gaps of a model that writes, long beside those of one that has written.
_GATHER_SECONDS = 0.003


def broken_off(generation_id: UUID) -> str:
    """The channel on which a worker says that a call, which it was asked to break off, has ended."""
    return f"broken-off:{generation_id.hex}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One message from a worker."""

    kind: str
    data: bytes
    status: int = 200
    headers: dict[str, str] | None = None
    #: Bytes of the stream that ends here; None where nothing ends, or nothing was streamed.
    total: int | None = None


class Inbox:
    """The web process's end: created on its event loop."""

    def __init__(self, line: RedisLine) -> None:
        self.name = f"inbox:{os.getpid()}:{uuid4().hex}"
        self._line = line
        self._waiting: dict[bytes, asyncio.Queue[Entry]] = {}

    @asynccontextmanager
    async def wait_for(self, generation_id: UUID) -> AsyncIterator["asyncio.Queue[Entry]"]:
        """A queue of the entries tagged with `generation_id`; open it before the worker can know of it."""
        queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._waiting[generation_id.bytes] = queue
        try:
            yield queue
        finally:
            del self._waiting[generation_id.bytes]

    async def read_forever(self) -> None:
        """The one reader. A Redis that is away is waited for; entries meanwhile stay in the stream."""
        position: bytes | str = "0"
        renewed = 0.0
        while True:
            try:
                found = await self._read_after(position)
                if time.monotonic() - renewed > _INBOX_SECONDS / 10:
                    await self._line.ask(("EXPIRE", self.name, _INBOX_SECONDS))
                    renewed = time.monotonic()
            except RedisError as error:
                log.warning("inbox cannot be read", error=type(error).__name__)
                await asyncio.sleep(0.2)
                # After a flush or restart the stream counts from the clock again, so what was read stays behind us.
                continue
            for _, fields in found:
                self._hand_over(dict(zip(fields[::2], fields[1::2], strict=True)))
            if found:
                position = found[-1][0]

    async def _read_after(self, position: bytes | str) -> list[Any]:
        """Entries as Redis gives them: (id, fields and values in turn)."""
        # Redis answers an idle wait after five seconds, so the inbox's life is renewed in time.
        [answer] = await self._line.ask(("XREAD", "COUNT", 500, "BLOCK", 5000, "STREAMS", self.name, position))
        if isinstance(answer, Exception):
            raise answer
        streams = answer.items() if isinstance(answer, dict) else answer or ()  # a map in the newer protocol
        return [entry for _, entries in streams for entry in entries]

    async def close(self) -> None:
        """Give its connection up, once nobody reads any more."""
        await self._line.close()

    def _hand_over(self, fields: dict[bytes, bytes]) -> None:
        queue = self._waiting.get(fields[b"g"])
        if queue is not None:
            headers = orjson.loads(fields[b"h"]) if b"h" in fields else None
            total = int(fields[b"t"]) if b"t" in fields else None
            queue.put_nowait(Entry(fields[b"k"].decode(), fields[b"d"], int(fields.get(b"s", 200)), headers, total))


@dataclass(slots=True)
class _Pending:
    """What one call has to say since the last round trip: parts of its stream, then perhaps its last entry."""

    inbox: str
    tag: bytes
    parts: list[bytes]
    last: dict[str, Any] | None = None
    command: tuple[Any, ...] = ()


class Sender:
    """A worker's way to the web tier: what all its calls say at one time travels in one round trip.

    A chunk that comes after a pause is sent at once; under load a batch collects for as long as the one before it
    travels, and where no call of it has ended for `_GATHER_SECONDS` at least. On one event loop; `close` sends what is left.
    """

    def __init__(self, line: RedisLine) -> None:
        self._line = line
        self._pending: dict[bytes, _Pending] = {}
        self._task: asyncio.Task[None] | None = None

    def pending(self, inbox: str, tag: bytes) -> _Pending:
        """What `tag` has to say, to be added to; it is sent soon."""
        found = self._pending.get(tag)
        if found is None:
            found = self._pending[tag] = _Pending(inbox, tag, [])
        if self._task is None:
            self._task = asyncio.create_task(self._send_pending())
        return found

    async def close(self) -> None:
        """Return when everything is sent."""
        while self._task is not None:
            await self._task

    async def _send_pending(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, {}
                await self._send(list(batch.values()))
                if self._pending and not any(pending.last for pending in self._pending.values()):
                    await asyncio.sleep(_GATHER_SECONDS)
        finally:
            self._task = None

    async def _send(self, batch: list[_Pending]) -> None:
        try:
            answers = await self._line.ask(*(command for pending in batch for command in _commands(pending)))
            if refused := [answer for answer in answers if isinstance(answer, Exception)]:
                raise refused[0]
        except RedisError:
            # The clients get what follows, or learn from the row, which keeps the whole answer.
            log.exception("entries could not be relayed", calls=len(batch))


def _commands(pending: _Pending) -> Iterator[tuple[Any, ...]]:
    rest = b"".join(pending.parts)
    last = pending.last
    if pending.inbox:  # nobody waits for a call that was made in the background
        if last is not None and last["k"] == "end":
            last = {**last, "d": rest + last["d"]}
        elif rest:
            yield _appending(pending, {"k": "chunk", "d": rest})
        if last is not None:
            yield _appending(pending, last)
    if pending.command:
        yield ("EVAL", *pending.command)


def _appending(pending: _Pending, fields: dict[str, Any]) -> tuple[Any, ...]:
    flat = [part for field in fields.items() for part in field]
    return ("XADD", pending.inbox, "MAXLEN", "~", _INBOX_LENGTH, "*", "g", pending.tag, *flat)


def _last_fields(kind: str, data: bytes, status: int, headers: dict[str, str] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"k": kind, "d": data, "s": status}
    return {**fields, "h": orjson.dumps(headers)} if headers else fields


class Outbox:
    """A worker's end, for one generation."""

    def __init__(self, sender: Sender, inbox: str, generation_id: UUID) -> None:
        self._sender = sender
        self._inbox = inbox
        self._tag = generation_id.bytes
        self.streamed = False
        self._bytes = 0
        #: How the stream tells of a failure once it has begun: the error's body → the last event.
        self.failing: Callable[[dict[str, Any]], bytes] | None = None

    def chunk(self, data: bytes) -> None:
        """Pass server-sent events on."""
        self.streamed = True
        self._bytes += len(data)
        if self._inbox:
            self._sender.pending(self._inbox, self._tag).parts.append(data)

    def last(
        self,
        kind: str,
        data: bytes,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        command: tuple[Any, ...] = (),
    ) -> None:
        """The last entry (`end`, `answer` or `error`), and an EVAL to send along in the same round trip."""
        pending = self._sender.pending(self._inbox, self._tag)
        pending.last = _last_fields(kind, data, status, headers)
        if kind == "end":
            pending.last["t"] = self._bytes + len(data)
        pending.command = command


def tell(
    client: redis.Redis, inbox: str, generation_id: UUID, *, error: bytes, status: int, command: tuple[Any, ...] = ()
) -> None:
    """From a thread: the last entry of a call whose worker is gone, and an EVAL in the same round trip.

    Raises:
        RedisError: Redis is away.
    """
    with client.pipeline(transaction=False) as pipe:
        last = _last_fields("error", error, status, None)
        for parts in _commands(_Pending(inbox, generation_id.bytes, [], last, command)):
            pipe.execute_command(*parts)
        pipe.execute()
