"""Admissions of one web process: those that arrive together share a round trip and a transaction, and a bell."""

from collections.abc import Sequence
from decimal import Decimal

import psycopg
import structlog
from redis.exceptions import RedisError

from tenants.async_database import AsyncDatabase
from tenants.batching import Batcher
from tenants.redis_line import RedisLine

from . import bells, generations
from .calls import Admission

log = structlog.get_logger("atrium.request")

#: Small enough that one batch is admitted while the one before it is already being called.
_MOST_TOGETHER = 8


class Door:
    """One for each web process, on its loop."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line
        self._database = AsyncDatabase()
        self._admit: Batcher[Admission, Decimal] = Batcher(self._admit_batch, most=_MOST_TOGETHER)

    async def admit(self, admission: Admission) -> Decimal:
        """Write the generation, queue it, hold its worst case and ring for a worker; returns the hold.

        Raises:
            BudgetExhausted, BudgetHeld: a budget does not cover `hold_min`.
            Replay: the idempotency key was used before.
            psycopg.OperationalError: the database is away.
        """
        if admission.idempotency_key is None:
            return await self._admit(admission)
        # Waits for the first call with its key, where that is being admitted; nobody else has to wait with it.
        [result] = await self._admit_batch([admission])
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        """Hang up."""
        await self._database.close()

    async def _admit_batch(self, batch: Sequence[Admission]) -> list[Decimal | Exception]:
        try:
            rows = await self._database.rows(generations.ADMIT, [generations.admissions_json(batch)])
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            if len(batch) == 1:
                return [error]
            # One that cannot be admitted must not keep the others out.
            return [result for one in batch for result in await self._admit_batch([one])]
        results = generations.admission_results(rows)
        if not all(isinstance(result, Exception) for result in results):
            await self._ring()
        return results

    async def _ring(self) -> None:
        try:
            await bells.ring_one(self._line)
        except RedisError:
            # Not lost work: workers look by themselves, and the sweep rings again.
            log.warning("bell could not be rung", exc_info=True)
