"""The task behind the doorbell of batches, its sweep, and the calls that start work. The rows say what there is to do."""

import threading
from datetime import UTC, datetime
from typing import Any

from celery import shared_task

from tenants import work
from tenants.doorbells import ring, ring_on_commit, ring_swept, worker_name
from tenants.scope import acting_for

from .. import lost_calls
from ..models import Batch
from ..tasks import ring as ring_engines
from . import driving, feeding, requests

_driving = threading.Lock()


@shared_task
def drive() -> None:
    """Claim one batch, the next by fairness, and take it a step on, unless this process is at it already.

    Reading a file of many lines takes the interpreter from whatever else the process does: one at a time.
    """
    if not _driving.acquire(blocking=False):
        return
    try:
        worker = worker_name()
        claim = driving.claim_next(worker=worker)
        if claim is None:
            return
        with acting_for(claim.tenant_id):
            driving.drive(claim, worker=worker, now=datetime.now(UTC))
    finally:
        _driving.release()
    ring_engines()
    ring(drive)


@shared_task
def sweep_batches() -> None:
    """Recover what dead workers left, wake drivers whose time has come, and ring again for lost doorbells."""
    for claim in work.expired(work.BATCHES):
        with acting_for(claim.tenant_id):
            driving.stumble(claim, now=datetime.now(UTC))
    ring_swept(drive, work.tend(work.BATCHES).queued)


@shared_task
def sweep_batch_lines() -> None:
    """Queue the calls of dead workers once more, and ring for lines whose bell was lost."""
    lost_calls.recover_lines(most_attempts=feeding.MOST_ATTEMPTS)
    depth = work.tend(work.BATCH_LINES)
    if depth.oldest_seconds > 1.0:
        ring_engines(times=min(depth.queued, 100))


def start_batch(**batch: Any) -> Batch:
    """`requests.create_batch`, and the doorbell on commit."""
    created = requests.create_batch(**batch)
    ring_on_commit(drive)
    return created


def cancel_batch(**batch: Any) -> Batch:
    """`requests.cancel_batch`, and the doorbell on commit."""
    cancelled = requests.cancel_batch(**batch)
    ring_on_commit(drive)
    return cancelled
