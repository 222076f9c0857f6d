"""How a run ends without success: failed for a reason of the file, given back to be tried again, or given up."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from billing.reservations import release
from tenants import work
from tenants.ids import public_id
from tenants.leases import LeaseLost
from tenants.models import Work
from tenants.scope import current_tenant, tenant_scope
from tenants.webhooks import emit
from tenants.work import Claim

from ..models import IngestionPart, VectorStoreFile
from .holds import release_hold
from .units import ENDED, Job, Part, State, fenced

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
SERVER_ERROR = "server_error"
#: Reasons that a unit on the queue carries when a worker died under it; it is suspect then.
DIED = "the worker died"
RUNS_ALONE = "the worker died; runs alone"


def end(job: Job, **values: Any) -> None:
    """Write the final state and leave the queue, or nothing at all.

    Raises:
        LeaseLost: the caller's transaction must be undone.
    """
    if job.has_parts:
        remove_parts(job.id)
    fenced(job).update(reservation_id=None, parts_left=0, **values)
    if not work.finish(job.claim):
        raise LeaseLost
    tell(values["state"], file_id=job.file.id, store_id=job.store.id, code=values.get("error_code", ""))


def tell(state: State, *, file_id: UUID, store_id: UUID, code: str = "") -> None:
    """Tell the tenant's webhooks that a file is ready in a store, or will not be; inside the scope of its end."""
    data = {"vector_store_id": public_id("vs_", store_id), **({"code": code} if code else {})}
    kind = "file.processed" if state == State.COMPLETED else "file.failed"
    emit(type=kind, data=data, object_id=public_id("file-", file_id))


def remove_parts(attachment_id: UUID) -> None:
    """Delete the parts of an attachment with their work; inside a scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT remove_parts(%s, %s)", [current_tenant(), attachment_id])


def fail(unit: Job | Part, code: str, message: str) -> None:
    """The document cannot be ingested, now or ever."""
    logger.info("ingestion of %s failed: %s", unit.id, code)
    try:
        with tenant_scope():
            if isinstance(unit, Part):
                fail_document(unit.claim, unit.attachment_id, code, message)
            else:
                release_hold(unit)
                end(unit, state=State.FAILED, error_code=code, error_message=message)
    except LeaseLost:
        logger.info("ingestion of %s was taken over or cancelled", unit.id)


def fail_document(claim: Claim, attachment_id: UUID, code: str, message: str, *, dead: bool = False) -> None:
    """A part ends its document; inside a scope. The document's unit leaves the queue, or stays as a dead letter.

    Raises:
        LeaseLost: the caller's transaction must be undone.
    """
    attachment = VectorStoreFile.objects.select_for_update().filter(id=attachment_id).exclude(state__in=ENDED).first()
    if not work.finish(claim):
        raise LeaseLost
    if attachment is None:
        return
    if attachment.reservation_id is not None:
        release(attachment.reservation_id)
    remove_parts(attachment_id)
    if not (dead and work.unpark(claim.tenant_id, attachment_id, dead=True, reason=message)):
        Work.objects.filter(id=attachment_id).delete()
    _write_failure(attachment, code, message)


def try_again(unit: Job | Part, *, reason: str) -> None:
    """A temporary fault: wait 2, 4, 8, 16 s, then give up."""
    if unit.attempts < MAX_ATTEMPTS:
        give_back(unit, delay=timedelta(seconds=2**unit.attempts), reason=reason, counts=True)
        return
    message = f"Ingestion failed {MAX_ATTEMPTS} times. {reason}"
    with tenant_scope():
        if isinstance(unit, Part):
            fail_document(unit.claim, unit.attachment_id, SERVER_ERROR, message, dead=True)
            return
        attachment = fenced(unit).first()
        if attachment is not None:
            give_up(unit.claim, attachment, message)


def give_back(unit: Job | Part, *, delay: timedelta, reason: str, counts: bool) -> None:
    """Put the unit back on the queue; `counts` says whether this run counts towards the cap."""
    attempts = unit.attempts if counts else unit.attempts - 1
    noted = RUNS_ALONE if unit.alone else reason  # what is suspect stays so until it has ended
    with tenant_scope():
        if isinstance(unit, Part):
            if work.retry(unit.claim, delay=delay, reason=noted):
                IngestionPart.objects.filter(id=unit.id).update(attempts=attempts)
            return
        release_hold(unit)
        if work.retry(unit.claim, delay=delay, reason=noted):
            fenced(unit).update(
                state=State.QUEUED, percent=unit.percent, reservation_id=None, attempts=attempts, error_message=reason
            )


def give_up(claim: Claim, attachment: VectorStoreFile, message: str) -> None:
    """Fail for good and keep the unit as a dead letter; inside a scope."""
    if work.bury(claim, reason=message):
        if attachment.reservation_id is not None:
            release(attachment.reservation_id)
        remove_parts(attachment.id)
        _write_failure(attachment, SERVER_ERROR, message)


def _write_failure(attachment: VectorStoreFile, code: str, message: str) -> None:
    attachment.state, attachment.error_code, attachment.error_message = State.FAILED, code, message
    attachment.reservation_id, attachment.parts_left = None, 0
    attachment.save(update_fields=["state", "error_code", "error_message", "reservation_id", "parts_left"])
    tell(State.FAILED, file_id=attachment.file_id, store_id=attachment.store_id, code=code)
