"""Bells: a Redis list on which the web tier says that generations wait, and idle workers wait for it.

A bell carries nothing; a worker that hears one claims until nothing is left. A lost bell is not lost work: workers look
by themselves every few seconds, and the sweep rings again. The list is kept short, for a bell that nobody hears while
all workers are busy is worth nothing later.
"""

import redis

from tenants.redis_line import RedisLine

_BELLS = "bells:generation"
_MOST = 256


def ring(client: redis.Redis, *, times: int = 1) -> None:
    """Wake up to `times` workers, from a thread.

    Raises:
        RedisError: Redis is away.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.rpush(_BELLS, *([b""] * times))
        pipe.ltrim(_BELLS, -_MOST, -1)
        pipe.execute()


async def ring_one(line: RedisLine) -> None:
    """Wake a worker; raises as `ring` does."""
    await line.ask(("RPUSH", _BELLS, b""), ("LTRIM", _BELLS, -_MOST, -1))


async def heard(line: RedisLine, *, seconds: float) -> bool:
    """Wait for a bell; false where none rang in `seconds`. A line of its own, for it waits.

    Raises:
        RedisError: Redis is away.
    """
    [answer] = await line.ask(("BLPOP", _BELLS, seconds))
    if isinstance(answer, Exception):
        raise answer
    return answer is not None
