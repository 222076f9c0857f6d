"""How a run ends without success: failed for a reason of the file, given back to be tried again, or given up."""

import logging
from datetime import timedelta
from typing import Any

from billing.reservations import release
from tenants import work
from tenants.scope import tenant_scope
from tenants.work import Claim

from ..models import VectorStoreFile
from .jobs import Job, State, fenced
from .leases import LeaseLost

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
SERVER_ERROR = "server_error"


def end(job: Job, **values: Any) -> None:
    """Write the final state and leave the queue, or nothing at all.

    Raises:
        LeaseLost: the caller's transaction must be undone.
    """
    fenced(job).update(reservation_id=None, **values)
    if not work.finish(job.claim):
        raise LeaseLost


def fail(job: Job, code: str, message: str) -> None:
    logger.info("ingestion of %s failed: %s", job.id, code)
    try:
        with tenant_scope():
            release_hold(job)
            end(job, state=State.FAILED, error_code=code, error_message=message)
    except LeaseLost:
        logger.info("ingestion of %s was taken over or cancelled", job.id)


def try_again(job: Job, *, reason: str) -> None:
    """A temporary fault: wait 2, 4, 8, 16 s, then give up."""
    if job.attempts < MAX_ATTEMPTS:
        give_back(job, delay=timedelta(seconds=2**job.attempts), reason=reason, counts=True)
        return
    with tenant_scope():
        attachment = fenced(job).first()
        if attachment is not None:
            release_hold(job)
            give_up(job.claim, attachment, f"Ingestion failed {MAX_ATTEMPTS} times. {reason}")


def give_back(job: Job, *, delay: timedelta, reason: str, counts: bool) -> None:
    with tenant_scope():
        release_hold(job)
        if work.retry(job.claim, delay=delay, reason=reason):
            attempts = job.attempts if counts else job.attempts - 1
            fenced(job).update(
                state=State.QUEUED, percent=0, reservation_id=None, attempts=attempts, error_message=reason
            )


def give_up(claim: Claim, attachment: VectorStoreFile, message: str) -> None:
    """Fail for good and keep the unit as a dead letter; inside a scope."""
    if work.bury(claim, reason=message):
        if attachment.reservation_id is not None:
            release(attachment.reservation_id)
        attachment.state, attachment.error_code, attachment.error_message = State.FAILED, SERVER_ERROR, message
        attachment.reservation_id = None
        attachment.save(update_fields=["state", "error_code", "error_message", "reservation_id"])


def release_hold(job: Job) -> None:
    """Give back what this run held, if its attachment still names it."""
    with tenant_scope():
        reservation_id = fenced(job).values_list("reservation_id", flat=True).first()
        if reservation_id is not None:
            release(reservation_id)
