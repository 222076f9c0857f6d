"""The task behind the doorbell of webhooks, and its sweep. Messages carry nothing: the rows say what there is to do."""

import threading
from datetime import UTC, datetime

from celery import shared_task

from .. import work
from ..doorbells import MOST_RUNG, ring, ring_swept, worker_name
from ..scope import acting_for
from . import delivering

#: The queue shares a worker with generations, which must not wait for slow servers: so it takes a few threads only.
_sending = threading.BoundedSemaphore(16)


@shared_task
def deliver() -> None:
    """Claim one delivery, the next by fairness, and make an attempt, unless this process makes as many as it may."""
    if not _sending.acquire(blocking=False):
        return
    try:
        claim = delivering.claim_next(worker=worker_name())
        if claim is None:
            return
        with acting_for(claim.tenant_id):
            delivering.run(claim, now=datetime.now(UTC))
    finally:
        _sending.release()
    ring(deliver)


@shared_task
def sweep_webhooks() -> None:
    """Recover what dead workers left, wake what waited for its next attempt, and ring for what is in the outbox.

    This is the only bell of new events: whoever emits one does so in the middle of a transaction of its own.
    """
    now = datetime.now(UTC)
    for claim in work.expired(work.WEBHOOKS):
        with acting_for(claim.tenant_id):
            delivering.recover(claim, now=now)
    held = work.tend(work.WEBHOOKS)
    if held.oldest_seconds > 0:  # `queued` counts those that wait for their next attempt too
        ring_swept(deliver, min(held.queued, MOST_RUNG))
