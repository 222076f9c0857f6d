"""Deliveries, claimed like all work: fair between tenants, under a lease, each attempt counted before it is made.

pending → delivered | failed. A delivery is tried ten times over three days. An attempt that was taken over by another
worker writes nothing, so the other side may get a message twice, never none. No transaction is open while it is sent.
"""

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from .. import work
from ..scope import tenant_scope
from ..work import Claim
from . import failing
from .models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from .sending import WHOLE_SECONDS, Answer, post

logger = logging.getLogger(__name__)
State = WebhookDelivery.State

#: How long after each attempt the next one follows: 75 hours and a half in all.
DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)  # fmt: skip
MAX_ATTEMPTS = len(DELAYS) + 1
#: Of one tenant at a time, for each worker's look: slow endpoints of one do not take all places.
MOST_RUNNING = 4
#: Events that are older and on no way any more are forgotten when a newer one arrives.
KEPT = timedelta(days=30)
#: What the event of a test happened to. It is sent once: nobody waits three days for what came of a test.
SAMPLE = "sample"
_LEASE = timedelta(seconds=3 * WHOLE_SECONDS)
_LOG_ENTRIES = 20
_FORGOTTEN_AT_ONCE = 100


@dataclass(frozen=True)
class Job:
    """A delivery as it was when its attempt began."""

    claim: Claim
    delivery: WebhookDelivery
    endpoint: WebhookEndpoint
    event: WebhookEvent


def claim_next(*, worker: str) -> Claim | None:
    """The next delivery by fairness between tenants; the edge then acts for its tenant."""
    found = work.claim_many(work.WEBHOOKS, worker=worker, lease=_LEASE, limit=1, most_running=MOST_RUNNING)
    return found[0] if found else None


def run(claim: Claim, *, now: datetime) -> None:
    """Make the attempt that `claim` stands for: delivered, to be tried again, or failed for good."""
    job = _begin(claim, now)
    if job is not None:
        _end(job, post(job.endpoint, job.event, now=now), now)


def recover(claim: Claim, *, now: datetime) -> None:
    """A unit whose worker died: its attempt counts, and another one follows as after any other failure."""
    with tenant_scope():
        delivery = WebhookDelivery.objects.filter(id=claim.id, state=State.PENDING).first()
        if delivery is None:
            work.finish(claim)
        else:
            _try_again(claim, delivery, Answer(None, "The worker died.", 0), now)


def _begin(claim: Claim, now: datetime) -> Job | None:
    with tenant_scope():
        rows = WebhookDelivery.objects.select_related("endpoint", "event")
        delivery = rows.filter(id=claim.id, state=State.PENDING).first()
        if delivery is None:  # its endpoint was deleted
            work.finish(claim)
            return None
        if delivery.endpoint.disabled_at is not None:
            if work.finish(claim):
                _write(delivery, Answer(None, "The endpoint is disabled.", 0), now, state=State.FAILED)
            return None
        delivery.attempts += 1
        delivery.save(update_fields=["attempts"])
    return Job(claim, delivery, delivery.endpoint, delivery.event)


def _end(job: Job, answer: Answer, now: datetime) -> None:
    with tenant_scope():
        if answer.taken:
            if work.finish(job.claim):
                _write(job.delivery, answer, now, state=State.DELIVERED)
                failing.forget(job.endpoint)
        elif _try_again(job.claim, job.delivery, answer, now) and job.event.object_id != SAMPLE:
            failing.note(job.endpoint, answer, now=now)
        _forget_old(now)


def _try_again(claim: Claim, delivery: WebhookDelivery, answer: Answer, now: datetime) -> bool:
    """Later, or never again; False where the lease was lost, and then nothing is written."""
    if delivery.attempts >= MAX_ATTEMPTS or delivery.event.object_id == SAMPLE:
        if not work.finish(claim):
            return False
        _write(delivery, answer, now, state=State.FAILED)
        return True
    delay = _delay(delivery.attempts, answer)
    if not work.retry(claim, delay=delay, reason=answer.error[:200]):
        return False
    _write(delivery, answer, now, state=State.PENDING, next_attempt_at=now + delay)
    return True


def _delay(attempts: int, answer: Answer) -> timedelta:
    """A tenth more or less at random, so that what failed together does not come again together; Retry-After counts."""
    planned = DELAYS[max(attempts, 1) - 1] * random.uniform(1.0, 1.1)
    asked = answer.retry_after
    if asked.isascii() and asked.isdecimal():
        return max(planned, min(timedelta(seconds=int(asked[:6])), DELAYS[-1]))
    return planned


def _write(
    delivery: WebhookDelivery,
    answer: Answer,
    now: datetime,
    *,
    state: WebhookDelivery.State,
    next_attempt_at: datetime | None = None,
) -> None:
    entry = {"at": int(now.timestamp()), "status": answer.status, "error": answer.error, "took_ms": answer.took_ms}
    WebhookDelivery.objects.filter(id=delivery.id).update(
        state=state,
        log=[*delivery.log, entry][-_LOG_ENTRIES:],
        next_attempt_at=next_attempt_at,
        ended_at=None if state == State.PENDING else now,
    )


def _forget_old(now: datetime) -> None:
    """What hangs on a tenant's old events goes with them, in the database."""
    old = WebhookEvent.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    ids: list[UUID] = list(old.values_list("id", flat=True)[:_FORGOTTEN_AT_ONCE])
    if ids:
        pending = WebhookDelivery.objects.filter(event_id__in=ids, state=State.PENDING).values("event_id")
        WebhookEvent.objects.filter(id__in=ids).exclude(id__in=pending).delete()
