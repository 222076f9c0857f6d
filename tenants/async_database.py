"""A connection as the app role for code on an event loop, beside Django's own for code in threads.

Django's connections belong to threads; a process that serves a thousand calls on one loop sends its few statements,
each for many calls at once, over a connection of the loop's own. Statements open and end the scopes they need
(`inference/sql/generations.sql`): each is one transaction, so the connection carries no tenant to the next one.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
import psycopg
from django.conf import settings
from psycopg.types.json import set_json_loads

#: A connection that lay idle for so long is tried before it is used: PostgreSQL may have been restarted meanwhile.
_STALE_SECONDS = 2.0
#: How long a starting PostgreSQL is waited for.
_CONNECT_SECONDS = 10.0


class AsyncDatabase:
    """One connection, opened when it is first needed and again after it broke; one statement at a time."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()
        self._used = 0.0

    async def rows(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What one statement answers, in a transaction of its own.

        Raises:
            psycopg.OperationalError: the database is away, or went away under the statement.
            psycopg.Error: the statement was refused.
        """
        async with self._turn:
            connection = await self._ready()
            try:
                cursor = await connection.execute(query, parameters)
                return await cursor.fetchall()
            finally:
                self._used = time.monotonic()

    async def close(self) -> None:
        """Hang up."""
        async with self._turn:
            await self._drop()

    async def _ready(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is not None and not self._connection.closed:
            if time.monotonic() - self._used < _STALE_SECONDS:
                return self._connection
            try:
                await self._connection.execute("")
                return self._connection
            except psycopg.OperationalError:
                pass  # it broke while nobody used it; a new one is opened
        await self._drop()
        self._connection = await _connected()
        return self._connection

    async def _drop(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


async def _connected() -> psycopg.AsyncConnection[Any]:
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(**_options(), autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            set_json_loads(orjson.loads, connection)
            return connection


def _options() -> dict[str, Any]:
    """Django's settings of the app role, in libpq's names."""
    database = settings.DATABASES["default"]
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {name: database[key] for name, key in named.items() if database[key]}
    return options | {name: value for name, value in database["OPTIONS"].items() if name != "pool"}
