"""The lanes of tenants whose calls have ended: counted down for many calls at a time, apart from their settlements.

A lane counts a tenant's running calls; claims are fair by it. Its row would stay locked while a settlement goes to disk.
A count that is lost with its worker is set right by the sweep.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog

from tenants.async_database import AsyncDatabase

from ..calls import Settlement

log = structlog.get_logger("atrium.worker")

_SECONDS = 0.05
_LEAVE = "SELECT leave_lanes(%s::jsonb)"


class Lanes:
    """One for each worker, on its loop."""

    def __init__(self) -> None:
        self._database = AsyncDatabase()
        self._left: Counter[tuple[UUID, str]] = Counter()
        self._task: asyncio.Task[None] | None = None

    def leave(self, batch: Sequence[Settlement], rows: Sequence[tuple[Any, ...]]) -> None:
        """The settled calls of `batch` have left the queues that `rows` name; the lanes hear of it soon."""
        for number, _, queue in rows:
            if queue is not None:
                self._left[batch[number].claim.tenant_id, queue] += 1
        if self._left and self._task is None:
            self._task = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Hang up, once they were told."""
        while self._task is not None:
            await self._task
        await self._database.close()

    async def _tell(self) -> None:
        try:
            while self._left:
                await asyncio.sleep(_SECONDS)
                left, self._left = self._left, Counter()
                await self._database.rows(_LEAVE, [_as_json(left)])
        except psycopg.Error:
            log.warning("lanes could not be told; the sweep sets them right", exc_info=True)
        finally:
            self._task = None


def _as_json(left: Counter[tuple[UUID, str]]) -> str:
    return orjson.dumps([{"tenant": tenant, "queue": queue, "n": n} for (tenant, queue), n in left.items()]).decode()
