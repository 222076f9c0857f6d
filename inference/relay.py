"""From worker to client: one Redis stream per web process, its *inbox*, entries tagged by generation.

A worker appends; the web process has one reader that hands entries to the requests that wait. Chunks that arrive
together travel together, already in their wire form, so the web tier copies bytes. A stream remembers: a reader whose
connection broke goes on where it was. An inbox nobody reads expires.

Entries carry `g` (generation id, 16 bytes), `k` (kind) and `d` (data):
`chunk` server-sent events to pass on, `end` the last of them, `answer` a JSON body, `error` a JSON body whose status
is in `s` and headers in `h`.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson
import redis
import redis.asyncio
import structlog
from redis.exceptions import RedisError

log = structlog.get_logger("atrium.relay")

#: Enough for every stream of a process to be a few hundred entries behind; older ones were read long ago.
_INBOX_LENGTH = 50_000
_INBOX_SECONDS = 600
#: The channel on which the web tier names generations (16 bytes) whose clients have gone.
CANCELLATIONS = "cancellations"
#: Short beside the gaps of a model that writes, long beside those of one that has written.
_GATHER_SECONDS = 0.003


@dataclass(frozen=True, slots=True)
class Entry:
    """One message from a worker."""

    kind: str
    data: bytes
    status: int = 200
    headers: dict[str, str] | None = None


class Inbox:
    """The web process's end: created on its event loop."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.name = f"inbox:{os.getpid()}:{uuid4().hex}"
        self._client = client
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
                # Redis answers an idle wait after five seconds, so the inbox's life is renewed in time.
                found: Any = await self._client.xread({self.name: position}, block=5000, count=500)
                if time.monotonic() - renewed > _INBOX_SECONDS / 10:
                    await self._client.expire(self.name, _INBOX_SECONDS)
                    renewed = time.monotonic()
            except RedisError as error:
                log.warning("inbox cannot be read", error=type(error).__name__)
                await asyncio.sleep(0.2)
                # After a flush or restart the stream counts from the clock again, so what was read stays behind us.
                continue
            for _, entries in found:
                for _, fields in entries:
                    self._hand_over(fields)
                position = entries[-1][0]

    async def close(self) -> None:
        """Give its connection up, once nobody reads any more."""
        await self._client.aclose()

    def _hand_over(self, fields: dict[bytes, bytes]) -> None:
        queue = self._waiting.get(fields[b"g"])
        if queue is not None:
            headers = orjson.loads(fields[b"h"]) if b"h" in fields else None
            queue.put_nowait(Entry(fields[b"k"].decode(), fields[b"d"], int(fields.get(b"s", 200)), headers))


class Sender:
    """A worker process's sending thread: chunks of all its streams that arrive together travel in one round trip.

    A chunk that comes after a pause is sent at once; under load a batch collects for as long as the one before it
    travels, and for `_GATHER_SECONDS` at least.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._pending: dict[Outbox, list[bytes]] = {}
        self._lock = threading.Lock()
        self._travelling = threading.Lock()
        self._arrived = threading.Event()
        threading.Thread(target=self._send_forever, daemon=True, name="relay").start()

    def put(self, outbox: "Outbox", data: bytes) -> None:
        """Send `data` soon."""
        with self._lock:
            self._pending.setdefault(outbox, []).append(data)
        self._arrived.set()

    @contextmanager
    def take_back(self, outbox: "Outbox") -> Iterator[bytes]:
        """What was not sent yet of one stream; nothing of it is on its way while the context is open."""
        with self._travelling:
            with self._lock:
                rest = self._pending.pop(outbox, [])
            yield b"".join(rest)

    def _send_forever(self) -> None:
        pause = threading.Event()
        while True:
            self._arrived.wait()
            self._arrived.clear()
            with self._travelling:
                with self._lock:
                    batch, self._pending = self._pending, {}
                if batch:
                    self._send(batch)
            pause.wait(_GATHER_SECONDS)

    def _send(self, batch: "dict[Outbox, list[bytes]]") -> None:
        try:
            with self.client.pipeline(transaction=False) as pipe:
                for outbox, parts in batch.items():
                    outbox.add(pipe, {"k": "chunk", "d": b"".join(parts)})
                pipe.execute()
        except RedisError:
            # The clients get what follows; the row keeps the whole answer.
            log.exception("chunks could not be relayed")


class Outbox:
    """A worker's end, for one generation."""

    def __init__(self, sender: Sender, inbox: str, generation_id: UUID) -> None:
        self._sender = sender
        self._inbox = inbox
        self._tag = generation_id.bytes
        self._streamed = False

    def chunk(self, data: bytes) -> None:
        """Pass server-sent events on."""
        self._streamed = True
        self._sender.put(self, data)

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
        fields: dict[str, Any] = {"k": kind, "d": data, "s": status}
        if headers:
            fields["h"] = orjson.dumps(headers)
        with self._sender.take_back(self) if self._streamed else nullcontext(b"") as rest:
            with self._sender.client.pipeline(transaction=False) as pipe:
                if rest and kind == "end":
                    fields["d"] = rest + data
                elif rest:
                    self.add(pipe, {"k": "chunk", "d": rest})
                self.add(pipe, fields)
                if command:
                    pipe.eval(*command)
                pipe.execute()

    def add(self, pipe: Any, fields: dict[str, Any]) -> None:
        """Append an entry to the inbox, by `pipe`."""
        pipe.xadd(self._inbox, {"g": self._tag, **fields}, maxlen=_INBOX_LENGTH, approximate=True)
