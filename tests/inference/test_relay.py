"""From worker to client over a real Redis: in order, together where it arrives together, the end with the rest."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
import redis

from inference.http_answer import HttpAnswer
from inference.relay import Entry, Inbox, Outbox, Sender
from tenants.ids import uuid7
from tenants.redis_line import RedisLine


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with RedisLine(os.environ["REDIS_URL"]) as line:
        sender = Sender(line)
        yield sender
        await sender.close()


@asynccontextmanager
async def open_inbox() -> AsyncIterator[Inbox]:
    """A web process's inbox with its reader running."""
    inbox = Inbox(RedisLine(os.environ["REDIS_URL"], timeout=None))
    reader = asyncio.create_task(inbox.read_forever())
    try:
        yield inbox
    finally:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
        await inbox.close()


async def until_last(entries: "asyncio.Queue[Entry]") -> list[Entry]:
    """All entries of a call, the last one included."""
    found: list[Entry] = []
    while not found or found[-1].kind == "chunk":
        found.append(await asyncio.wait_for(entries.get(), 10))
    return found


def text(entries: list[Entry]) -> bytes:
    return b"".join(entry.data for entry in entries)


async def test_a_stream_arrives_whole_and_in_order(sender: Sender) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox = Outbox(sender, inbox.name, ident)
            for number in range(2_000):
                outbox.chunk(b"%d," % number)
                if number % 7 == 0:
                    await asyncio.sleep(0)
            outbox.last("end", b"done")
            found = await until_last(entries)
    assert text(found) == b"".join(b"%d," % number for number in range(2_000)) + b"done"
    assert found[-1].kind == "end"


async def test_chunks_that_come_together_travel_together(sender: Sender, client: redis.Redis) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox = Outbox(sender, inbox.name, ident)
            for number in range(500):
                outbox.chunk(b"%d," % number)
            outbox.last("end", b"")
            found = await until_last(entries)
        # A round trip takes as long as many chunks: far fewer entries than chunks.
        assert len(found) == client.xlen(inbox.name) < 100


async def test_a_chunk_after_a_pause_is_sent_at_once_without_waiting_for_more(sender: Sender) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            Outbox(sender, inbox.name, ident).chunk(b"first")
            assert (await asyncio.wait_for(entries.get(), 5)) == Entry("chunk", b"first")


async def test_the_end_carries_what_was_not_sent_yet(sender: Sender, client: redis.Redis) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox = Outbox(sender, inbox.name, ident)
            outbox.chunk(b"a")
            outbox.chunk(b"b")
            outbox.last("end", b"c")
            assert [entry.data for entry in await until_last(entries)] == [b"abc"]


async def test_an_error_comes_after_the_chunks_with_status_and_headers(sender: Sender) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox = Outbox(sender, inbox.name, ident)
            outbox.chunk(b"a")
            outbox.last("error", b"{}", status=503, headers={"retry-after": "2"})
            found = await until_last(entries)
    assert text(found[:-1]) == b"a"
    assert found[-1] == Entry("error", b"{}", 503, {"retry-after": "2"})


async def test_calls_of_one_inbox_get_their_own_entries_only(sender: Sender) -> None:
    async with open_inbox() as inbox:
        first, second = uuid7(), uuid7()
        async with inbox.wait_for(first) as ones, inbox.wait_for(second) as twos:
            outboxes = Outbox(sender, inbox.name, first), Outbox(sender, inbox.name, second)
            for number in range(100):
                outboxes[number % 2].chunk(b"%d," % (number % 2))
            for outbox in outboxes:
                outbox.last("end", b"")
            found = text(await until_last(ones)), text(await until_last(twos))
    assert found == (b"0," * 50, b"1," * 50)


async def test_entries_for_a_client_that_left_are_passed_over(sender: Sender) -> None:
    async with open_inbox() as inbox:
        gone, here = uuid7(), uuid7()
        async with inbox.wait_for(here) as entries:
            Outbox(sender, inbox.name, gone).last("answer", b"nobody reads this")
            Outbox(sender, inbox.name, here).last("answer", b"{}")
            assert await until_last(entries) == [Entry("answer", b"{}")]


async def test_an_inbox_goes_on_where_it_was_when_its_connection_was_cut(sender: Sender, client: redis.Redis) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox = Outbox(sender, inbox.name, ident)
            outbox.chunk(b"before ")
            assert (await asyncio.wait_for(entries.get(), 5)).data == b"before "
            # The end-to-end stack has an inbox in the same Redis, in another database.
            own = str(client.connection_pool.connection_kwargs["db"])
            waiting = [row for row in client.client_list() if row["cmd"].startswith("xread") and row["db"] == own]
            assert len(waiting) == 1
            client.client_kill_filter(_id=waiting[0]["id"])
            outbox.chunk(b"meanwhile ")
            outbox.last("end", b"after")
            assert text(await until_last(entries)) == b"meanwhile after"


async def test_an_inbox_goes_on_after_redis_forgot_everything(sender: Sender, client: redis.Redis) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox = Outbox(sender, inbox.name, ident)
            outbox.chunk(b"before ")
            assert (await asyncio.wait_for(entries.get(), 5)).data == b"before "
            client.delete(inbox.name)
            outbox.last("end", b"after")
            assert text(await until_last(entries)) == b"after"


async def test_an_inbox_that_nobody_reads_expires(sender: Sender, client: redis.Redis) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        async with inbox.wait_for(ident) as entries:
            Outbox(sender, inbox.name, ident).last("answer", b"{}")
            await until_last(entries)
            deadline = time.monotonic() + 5
            while (left := client.ttl(inbox.name)) < 0 and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert 0 < left <= 600


async def test_a_command_travels_with_the_last_entry(sender: Sender, client: redis.Redis) -> None:
    async with open_inbox() as inbox:
        ident = uuid7()
        key = f"test:{ident}"
        command: tuple[Any, ...] = ("redis.call('SET', KEYS[1], ARGV[1])", 1, key, "told")
        async with inbox.wait_for(ident) as entries:
            Outbox(sender, inbox.name, ident).last("answer", orjson.dumps({}), command=command)
            await until_last(entries)
    assert client.getdel(key) == b"told"


async def test_a_hole_in_a_stream_does_not_look_like_an_answer(sender: Sender, client: redis.Redis) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    for lost in (False, True):
        # The reader begins late, so that what lies in the inbox can be lost as with a Redis that dies.
        inbox, ident = Inbox(RedisLine(os.environ["REDIS_URL"], timeout=None)), uuid7()
        async with inbox.wait_for(ident) as entries:
            outbox, answer = Outbox(sender, inbox.name, ident), HttpAnswer(send)
            for part in (b"first,", b"second,"):
                outbox.chunk(part)
                await sender.close()
            if lost:
                oldest = client.xrange(inbox.name, count=1)[0][0]
                client.xdel(inbox.name, oldest)
            outbox.last("end", b"third")
            await sender.close()
            reader = asyncio.create_task(inbox.read_forever())
            found = await until_last(entries)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await inbox.close()
        sent.clear()
        for entry in found[:-1]:
            await answer.chunk(entry.data)
        await answer.end(found[-1].data, found[-1].total)
        body = b"".join(message["body"] for message in sent if message["type"] == "http.response.body")
        assert answer.complete
        if lost:
            assert body.startswith(b"second,data: ") and b'"answer_lost"' in body and b"third" not in body
        else:
            assert body == b"first,second,third"


async def test_a_stream_whose_end_was_lost_is_no_json(sender: Sender) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    row = {"answer": {"object": "chat.completion"}, "error": None}
    await HttpAnswer(send).from_row(row, stream=False)
    await HttpAnswer(send).from_row(row, stream=True)
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [200, 502]
    assert orjson.loads(sent[-1]["body"])["error"]["code"] == "answer_lost"
