"""Bells: a Redis list on which the web tier says that generations wait, and idle workers wait for it.

A bell carries nothing; a worker that hears one claims until nothing is left. A lost bell is not lost work: workers look
by themselves every few seconds, and the sweep rings again. The list is kept short, for a bell that nobody hears while
all workers are busy is worth nothing later.
"""

from typing import Any

import redis
import redis.asyncio

_BELLS = "bells:generation"
_MOST = 256


def ring(client: redis.Redis, *, times: int = 1) -> None:
    """Wake up to `times` workers.

    Raises:
        RedisError: Redis is away.
    """
    with client.pipeline(transaction=False) as pipe:
        _add(pipe, times)
        pipe.execute()


async def ring_async(client: redis.asyncio.Redis) -> None:
    """Wake a worker."""
    async with client.pipeline(transaction=False) as pipe:
        _add(pipe, 1)
        await pipe.execute()


def _add(pipe: Any, times: int) -> None:
    pipe.rpush(_BELLS, *([b""] * times))
    pipe.ltrim(_BELLS, -_MOST, -1)


async def heard(client: redis.asyncio.Redis, *, seconds: float) -> bool:
    """Wait for a bell; false where none rang in `seconds`."""
    return await client.blpop([_BELLS], timeout=seconds) is not None
