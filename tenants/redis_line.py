"""A connection to Redis for code on an event loop that sends few, large round trips.

redis-py's client takes a connection from a pool, retries, measures and parses options around every command: a quarter
of the web tier's processor time, measured. Its connections alone, with the same protocol code, cost a third of that.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

#: A connection that lay idle for so long is looked at before it is used: Redis may have been restarted meanwhile.
_STALE_SECONDS = 1.0


class RedisLine:
    """One connection, opened when it is first needed and again after it broke; one round trip at a time.

    Args:
        timeout: seconds that Redis may take to answer; None where commands wait by themselves.
    """

    def __init__(self, url: str, *, timeout: float | None = 10.0) -> None:
        # With a timeout of its own a connection would make a task for each thing it sends.
        self._pool = redis.asyncio.ConnectionPool.from_url(url, socket_timeout=None, socket_connect_timeout=5.0)
        self._timeout = timeout
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._used = 0.0

    async def __aenter__(self) -> "RedisLine":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def ask(self, *commands: Sequence[Any]) -> list[Any]:
        """What Redis answers to each command, sent together; the refusal of one is its answer, not raised.

        A connection that broke while nobody used it is opened again. An answer that was not waited for closes it, so
        that nobody else gets it.

        Raises:
            RedisError: Redis is away. Commands may have been carried out.
        """
        async with self._turn:
            connection = await self._ready()
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                    answers = [await _answer(connection) for _ in commands]
            except TimeoutError as error:
                await self._drop()
                raise RedisTimeoutError("Redis did not answer in time") from error
            except BaseException:
                await self._drop()
                raise
            self._used = time.monotonic()
            return answers

    async def close(self) -> None:
        """Hang up."""
        async with self._turn:
            await self._drop()
            await self._pool.disconnect()

    async def _ready(self) -> Any:
        if self._connection is not None:
            fresh = time.monotonic() - self._used < _STALE_SECONDS
            if fresh or not await _broke(self._connection):
                return self._connection
            await self._drop()
        connection = self._pool.make_connection()
        try:
            await connection.connect()
        except OSError as error:
            raise RedisConnectionError("Redis is away") from error
        self._connection = connection
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _broke(connection: Any) -> bool:
    """Whether the other end has hung up, or said something that nobody asked for."""
    for _ in range(2):  # the loop hears of a hang-up in its next round, and tells the stream in the one after it
        await asyncio.sleep(0)
    try:
        return bool(await connection.can_read())
    except (RedisError, OSError):
        return True


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
