"""The events of a stream from the background: kept under their tenant's name, for a while, and told from any place on."""

import asyncio
import os
from collections.abc import Iterator

import pytest
import redis

from inference.relay import Entry, tell
from inference.responses.event_log import LASTS_SECONDS, begin, entries, events_after, log_key
from inference.responses.transcript import response_error, wire
from tenants.ids import uuid7
from tenants.redis_line import RedisLine

URL = os.environ["REDIS_URL"]


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(URL) as client:
        yield client


def test_a_log_has_an_end_of_its_life_before_anybody_writes_and_a_nearer_one_when_its_end_was_read(
    client: redis.Redis,
) -> None:
    tenant, call = uuid7(), uuid7()
    key = log_key(tenant, call)
    assert str(tenant) in key and call.hex in key

    async def read() -> list[Entry]:
        async with RedisLine(URL) as line:
            await begin(line, key)
        assert LASTS_SECONDS - 5 < client.ttl(key) <= LASTS_SECONDS
        client.xadd(key, {"g": call.bytes, "k": "chunk", "d": b"one"})
        tell(client, key, call, error=b'{"error": {}}', status=502)
        return [entry async for entry in entries(URL, key)]

    told = asyncio.run(read())
    assert [(entry.kind, entry.data) for entry in told] == [("chunk", b"one"), ("error", b'{"error": {}}')]
    assert 0 < client.ttl(key) <= 600


def test_events_are_told_from_any_number_on() -> None:
    events = b"".join(wire({"type": "x", "delta": 'say "sequence_number":9}'}, number) for number in range(4))
    assert events_after(events, -1) == events
    assert events_after(events, 1) == b"".join(
        wire({"type": "x", "delta": 'say "sequence_number":9}'}, number) for number in (2, 3)
    )
    assert events_after(events, 3) == b""
    error = response_error(b'{"error": {"message": "lost", "code": "worker_lost"}}', events)
    assert error == wire({"type": "error", "code": "worker_lost", "message": "lost", "param": None}, 4)
