"""The events of a response that is streamed from the background: kept in Redis for a while, so that a client whose
connection broke can go on where it was (`GET /v1/responses/{id}?stream=true&starting_after=`).

The worker writes to a log of the call's own as it does to an inbox; whoever listens, the first client too, reads the
log. It lasts as long as the call may wait and run, and a few minutes once its end has been read.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
from redis.exceptions import RedisError

from tenants.redis_line import RedisLine

from ..relay import Entry

#: The seconds that a log lasts: as long as the hold of a call in the background.
LASTS_SECONDS = 86_400
_AFTER_ITS_END_SECONDS = 600
_SILENCE_MILLISECONDS = 5_000
_PAUSE_SECONDS = 0.5
_NUMBER = re.compile(rb'"sequence_number":(\d+)}$')
#: Nothing came for a while.
SILENCE = Entry("silence", b"")


def log_key(tenant_id: UUID, generation_id: UUID) -> str:
    """Where a call's events stand."""
    return f"events:{tenant_id}:{generation_id.hex}"


async def begin(line: RedisLine, key: str) -> None:
    """Make the log, so that it has an end of its life before a worker writes to it.

    Raises:
        RedisError: Redis is away.
    """
    for answer in await line.ask(("XADD", key, "*", "k", "begun", "d", b""), ("EXPIRE", key, LASTS_SECONDS)):
        if isinstance(answer, Exception):
            raise answer


async def entries(url: str, key: str) -> AsyncIterator[Entry]:
    """What the log holds and what comes, until the last; `SILENCE` where nothing came for some seconds."""
    position: bytes | str = "0"
    async with RedisLine(url, timeout=None) as line:
        while True:
            try:
                found = await _after(line, key, position)
            except RedisError:
                await asyncio.sleep(_PAUSE_SECONDS)
                yield SILENCE
                continue
            if not found:
                yield SILENCE
            for ident, fields in found:
                position = ident
                entry = _entry(dict(zip(fields[::2], fields[1::2], strict=True)))
                if entry.kind in ("end", "answer", "error"):
                    await line.ask(("EXPIRE", key, _AFTER_ITS_END_SECONDS))
                    yield entry
                    return
                if entry.kind == "chunk":
                    yield entry


async def pour(url: str, key: str, queue: "asyncio.Queue[Entry]") -> None:
    """Hand the log's entries over to whoever waits at the queue of an inbox."""
    async for entry in entries(url, key):
        if entry is not SILENCE:
            queue.put_nowait(entry)


def events_after(data: bytes, number: int) -> bytes:
    """Of server-sent events those whose sequence number is above `number`."""
    blocks = [block for block in data.split(b"\n\n") if block]
    return b"".join(block + b"\n\n" for block in blocks if _number(block) > number)


def _number(block: bytes) -> int:
    found = _NUMBER.search(block)
    return int(found[1]) if found else -1


async def _after(line: RedisLine, key: str, position: bytes | str) -> list[Any]:
    [answer] = await line.ask(("XREAD", "COUNT", 500, "BLOCK", _SILENCE_MILLISECONDS, "STREAMS", key, position))
    if isinstance(answer, Exception):
        raise answer
    streams = answer.items() if isinstance(answer, dict) else answer or ()  # a map in the newer protocol
    return [entry for _, found in streams for entry in found]


def _entry(fields: dict[bytes, bytes]) -> Entry:
    headers = orjson.loads(fields[b"h"]) if b"h" in fields else None
    return Entry(fields[b"k"].decode(), fields[b"d"], int(fields.get(b"s", 200)), headers)
