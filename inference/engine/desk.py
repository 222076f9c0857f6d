"""What a call needs of its worker: the ledger it is settled in, and the way to its client."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg
import structlog
from django.conf import settings

from tenants.async_database import AsyncDatabase
from tenants.batching import Batcher
from tenants.redis_line import RedisLine

from .. import bells, generations
from ..calls import Settlement
from ..relay import Sender
from .lanes import Lanes

log = structlog.get_logger("atrium.worker")

_MOST_SETTLED = 8
#: How often a settlement is tried while PostgreSQL is away; the sweep settles calls whose leases ran out meanwhile.
_TRIES = 60
_PAUSE_SECONDS = 0.5


class Desk:
    """One for each worker, on its loop."""

    def __init__(self) -> None:
        self._line = RedisLine(settings.REDIS_URL)
        self.sender = Sender(self._line)
        self._database = AsyncDatabase()
        self._lanes = Lanes()
        self._settle: Batcher[Settlement, Decimal | None] = Batcher(self._settle_batch, most=_MOST_SETTLED)

    async def settle(self, settlement: Settlement) -> Decimal | None:
        """The call's cost, once it is in the ledger; None where the lease was lost.

        Raises:
            psycopg.Error: the ledger refused it, or stayed away for half a minute.
        """
        return await self._settle(settlement)

    async def ring(self) -> None:
        """Wake a worker, perhaps this one.

        Raises:
            RedisError: Redis is away.
        """
        await bells.ring_one(self._line)

    async def close(self) -> None:
        """Send what is left, and hang up."""
        await self.sender.close()
        await self._lanes.close()
        await self._line.close()
        await self._database.close()

    async def _settle_batch(self, batch: Sequence[Settlement]) -> list[Decimal | Exception | None]:
        try:
            return list(await self._settled(batch))
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            if len(batch) == 1:
                return [error]
            # One that cannot be settled must not keep the others.
            return [result for one in batch for result in await self._settle_batch([one])]

    async def _settled(self, batch: Sequence[Settlement]) -> Sequence[Decimal | None]:
        parameters: list[Any] = [generations.settlements_json(batch)]
        for left in reversed(range(_TRIES)):
            try:
                rows = await self._database.rows(generations.SETTLE, parameters)
            except psycopg.OperationalError:
                if not left:
                    raise
                log.warning("settlement waits for the database", calls=len(batch), exc_info=True)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._lanes.leave(batch, rows)
                return generations.costs(rows)
        raise AssertionError("the last try returns or raises")
