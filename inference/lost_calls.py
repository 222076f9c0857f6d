"""Calls whose worker died: settled, and their clients told.

Every worker does it when it starts, before it claims anything: where workers die one after the other, none lives long
enough to be sent the sweep that otherwise does it every other second.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import redis

from tenants import work
from tenants.scope import acting_for, tenant_scope

from . import generations
from .calls import Admitted, Outcome, Settlement, WorkerLost
from .models import Generation
from .relay import tell


@dataclass(frozen=True)
class Lost:
    """A generation whose worker died, and what its client must be told."""

    id: UUID
    inbox: str
    error: dict[str, Any]
    admitted: Admitted
    tenant_id: UUID


def settle_lost() -> list[Lost]:
    """Settle generations whose lease ran out: charged at the hold and marked unknown, for the provider was called."""
    lost = []
    for claim in work.expired(work.GENERATION):
        with acting_for(claim.tenant_id), tenant_scope():
            row = Generation.objects.filter(id=claim.id).values("inbox", "terms", "key_id").first()
        if row is None:
            _work_gone(claim)
            continue
        admitted = Admitted.from_json(row["terms"])
        error = WorkerLost("The worker running this call was lost. Try again.").body()
        outcome = Outcome(state="unknown", error=error)
        cost = generations.settle(Settlement(claim, row["key_id"], outcome, admitted.retention_days))
        if cost is not None:
            lost.append(Lost(claim.id, row["inbox"], error, admitted, claim.tenant_id))
    return lost


def recover_lines(*, most_attempts: int) -> int:
    """Queue the calls of batch lines whose worker died once more, under their holds; returns how many.

    Nobody has seen anything of their answers, so they are asked again and billed once. One that has killed so many
    workers is settled as `settle_lost` does, and its line has failed.
    """
    again = 0
    for claim in work.expired(work.BATCH_LINES):
        with acting_for(claim.tenant_id), tenant_scope():
            row = Generation.objects.filter(id=claim.id).values("terms", "key_id").first()
            if row is not None and claim.attempt < most_attempts:
                again += work.retry(claim, delay=timedelta(), reason="the worker died")
                continue
        if row is None:
            _work_gone(claim)
            continue
        error = WorkerLost(f"The workers running this call were lost, {claim.attempt} times.").body()
        outcome = Outcome(state="unknown", error=error)
        generations.settle(Settlement(claim, row["key_id"], outcome, Admitted.from_json(row["terms"]).retention_days))
    return again


def _work_gone(claim: work.Claim) -> None:
    """Leave the queue for a unit whose generation is gone."""
    with acting_for(claim.tenant_id), tenant_scope():
        work.finish(claim)


def settle_and_tell(client: redis.Redis) -> int:
    """`settle_lost`, and tell the clients that wait; returns how many calls there were.

    Raises:
        RedisError: a client could not be told. Its call is settled; it learns of it from the row.
    """
    lost = settle_lost()
    for one in lost:
        release = one.admitted.release(one.tenant_id, one.id, refund=0)
        error, status = orjson.dumps(one.error), WorkerLost.status
        tell(client, one.inbox, one.id, error=error, status=status, command=tuple(release))
    return len(lost)
