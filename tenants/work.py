"""Claimed work: the Python side of `sql/work.sql`.

The row is the truth, a Celery message only a doorbell. `claim()` decides fairly between tenants and returns ids; the
runner then acts for that tenant. Every function is one round trip and can run twice without harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections

GENERATION = "generation"
INGESTION = "ingestion"
PURGING = "purging"
REEMBEDDING = "reembedding"
FETCHING = "fetching"
SYNCING = "syncing"
BATCHES = "batches"
BATCH_LINES = "batch_lines"
MAIL = "mail"
REPORTS = "reports"
WEBHOOKS = "webhooks"


@dataclass(frozen=True)
class Claim:
    """A unit of work held under a lease. `attempt` fences what is written: a later attempt makes this one's void."""

    tenant_id: UUID
    id: UUID
    attempt: int


@dataclass(frozen=True)
class Share:
    """A tenant's share of a queue's workers: its weight against other tenants', and the seconds that it counts as having
    waited longer than those of the same share under way."""

    weight: int = 1
    head_start: int = 0


EVEN = Share()


@dataclass(frozen=True)
class Depth:
    """What a queue holds over all tenants; `oldest_seconds` is how long the oldest waiting unit has waited."""

    queued: int
    running: int
    dead: int
    oldest_seconds: float


def _rows(query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())
    finally:
        if not connection.in_atomic_block:
            connection.close()


def enqueue(tenant_id: UUID, work_id: UUID, queue: str, *, share: Share = EVEN, priority: int = 0) -> None:
    """Put a unit on `queue`, in the transaction that writes its job; of a tenant's units the lowest priority goes first."""
    parameters = [tenant_id, work_id, queue, share.weight, priority, share.head_start]
    _rows("SELECT enqueue_work(%s, %s, %s, %s, %s, %s)", parameters)


def enqueue_all(
    tenant_id: UUID, work_ids: Sequence[UUID], queue: str, *, share: Share = EVEN, priority: int = 0
) -> None:
    """Put many units on `queue`, in their order, as `enqueue` does."""
    parameters = [tenant_id, list(work_ids), queue, share.weight, priority, share.head_start]
    _rows("SELECT enqueue_all_work(%s, %s, %s, %s, %s, %s)", parameters)


def claim(queue: str, *, worker: str, lease: timedelta) -> Claim | None:
    """The next unit by fairness between tenants, or None when nothing waits."""
    found = claim_many(queue, worker=worker, lease=lease, limit=1)
    return found[0] if found else None


def claim_many(
    queue: str, *, worker: str, lease: timedelta, limit: int, most_running: int | None = None
) -> list[Claim]:
    """Up to `limit` units by fairness between tenants, in one call; empty when nothing waits.

    Args:
        most_running: no tenant gets more than this many running for each unit of its weight.
    """
    parameters = [queue, worker, lease, limit, most_running]
    return [Claim(*row) for row in _rows("SELECT * FROM claim_work(%s, %s, %s, %s, %s)", parameters)]


def finish(claim: Claim) -> bool:
    """Leave the queue; False where the lease was lost, and then nothing else may be written for it."""
    return bool(_rows("SELECT finish_work(%s, %s, %s)", [claim.tenant_id, claim.id, claim.attempt])[0][0])


def retry(claim: Claim, *, delay: timedelta, reason: str) -> bool:
    """Give the unit back, to be claimed again after `delay`; False where the lease was lost."""
    return _return(claim, "delayed" if delay else "queued", delay, reason)


def hasten(tenant_id: UUID, work_id: UUID) -> bool:
    """Let a delayed unit wait no longer; False where it is not delayed."""
    return bool(_rows("SELECT hasten_work(%s, %s)", [tenant_id, work_id])[0][0])


def bury(claim: Claim, *, reason: str) -> bool:
    """Dead-letter the unit: nobody claims it again; False where the lease was lost."""
    return _return(claim, "dead", timedelta(), reason)


def enqueue_beside(claim: Claim, ids: Sequence[UUID]) -> int:
    """Put units on the queue of a claimed one, in its place of the order; returns how many."""
    return int(_rows("SELECT enqueue_beside(%s, %s, %s)", [claim.tenant_id, claim.id, list(ids)])[0][0])


def park(claim: Claim) -> bool:
    """Set the unit aside until somebody calls `unpark`; False where the lease was lost."""
    return bool(_rows("SELECT park_work(%s, %s, %s)", [claim.tenant_id, claim.id, claim.attempt])[0][0])


def unpark(tenant_id: UUID, work_id: UUID, *, dead: bool = False, reason: str = "") -> bool:
    """Queue a parked unit again, or dead-letter it; False where it is not parked."""
    state = "dead" if dead else "queued"
    return bool(_rows("SELECT unpark_work(%s, %s, %s, %s)", [tenant_id, work_id, state, reason])[0][0])


def _return(claim: Claim, state: str, delay: timedelta, reason: str) -> bool:
    parameters = [claim.tenant_id, claim.id, claim.attempt, state, delay, reason]
    return bool(_rows("SELECT return_work(%s, %s, %s, %s, %s, %s)", parameters)[0][0])


def renew(worker: str, ids: Sequence[UUID], *, lease: timedelta) -> set[UUID]:
    """Renew the leases of `ids`; returns those that are still this worker's."""
    return {row[0] for row in _rows("SELECT * FROM renew_work(%s, %s, %s)", [worker, list(ids), lease])}


def expired(queue: str, *, limit: int = 100) -> list[Claim]:
    """Units whose worker died (their lease ran out). The queue's owner decides what becomes of each."""
    return [Claim(*row) for row in _rows("SELECT * FROM expired_work(%s, %s)", [queue, limit])]


def tend(queue: str) -> Depth:
    """Wake delayed units whose time has come, set drifted counters right, and say what the queue holds."""
    return Depth(*_rows("SELECT * FROM tend_queue(%s)", [queue])[0])


def depth(queue: str) -> Depth:
    """What the queue holds, for metrics."""
    return Depth(*_rows("SELECT * FROM queue_depth(%s)", [queue])[0])
