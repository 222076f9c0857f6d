"""A line to Redis: answers in order, refusals as answers, broken connections mended, late answers given to nobody."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import redis
from redis.exceptions import RedisError, ResponseError

from tenants.ids import uuid7
from tenants.redis_line import RedisLine


@pytest.fixture
async def line() -> AsyncIterator[RedisLine]:
    async with RedisLine(os.environ["REDIS_URL"]) as line:
        yield line


async def test_commands_that_go_together_are_answered_in_order_and_a_refusal_is_an_answer(line: RedisLine) -> None:
    key = f"test:{uuid7()}"
    first, second, refused, last = await line.ask(("SET", key, 1), ("INCR", key), ("LPUSH", key, "x"), ("GETDEL", key))
    assert (first, second, last) == (b"OK", 2, b"2")
    assert isinstance(refused, ResponseError)


async def test_a_connection_that_broke_meanwhile_is_opened_again(line: RedisLine) -> None:
    [ident] = await line.ask(("CLIENT", "ID"))
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as other:
        other.client_kill_filter(_id=str(ident))
    line._used = 0.0  # as long ago as it takes to be looked at
    assert await line.ask(("ECHO", "hello")) == [b"hello"]


async def test_an_answer_that_nobody_waits_for_any_more_is_not_the_next_ones(line: RedisLine) -> None:
    waiting = asyncio.create_task(line.ask(("BLPOP", f"test:{uuid7()}", 30)))
    while not line._turn.locked() or line._connection is None:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await line.ask(("ECHO", "mine")) == [b"mine"]


async def test_a_redis_that_says_nothing_is_given_up() -> None:
    async with RedisLine(os.environ["REDIS_URL"], timeout=0.05) as line:
        with pytest.raises(RedisError, match="in time"):
            await line.ask(("BLPOP", f"test:{uuid7()}", 30))


async def test_a_redis_that_is_not_there_is_away() -> None:
    async with RedisLine("redis://127.0.0.1:1/0") as line:
        with pytest.raises(RedisError):
            await line.ask(("PING",))
