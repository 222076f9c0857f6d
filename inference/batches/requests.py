"""Batches as clients ask for them: created, found, cancelled."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from billing.limits import current_share
from knowledge.attributes import check_metadata
from knowledge.files import MAX_LIFETIME, MIN_LIFETIME, get_file
from knowledge.models import File
from tenants import work
from tenants.api_keys import Caller
from tenants.audit import record
from tenants.errors import InvalidRequest, NotFound, PermissionDenied
from tenants.scope import tenant_scope

from ..models import Batch

ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")
WINDOW = timedelta(hours=24)
MAX_FILE_BYTES = 200 * 1024 * 1024
State = Batch.State


def create_batch(
    *,
    input_file_id: UUID | None,
    endpoint: str,
    caller: Caller,
    now: datetime,
    metadata: dict[str, Any] | None = None,
    output_lifetime: timedelta | None = None,
) -> Batch:
    """A batch of the current tenant, to be validated; its lines are called with the key and groups of `caller`.

    Raises:
        PermissionDenied: the key may not read files, so it may not have one read for it; or it speaks for an end user,
            who would be gone when the lines are called.
        NotFound: no such file for this caller.
        InvalidRequest: a file of another purpose or beyond 200 MB, metadata or a lifetime out of bounds.
    """
    if "files.read" not in caller.scopes:
        raise PermissionDenied(
            "This API key lacks the scope 'files.read', which batches need. Ask for one that has it."
        )
    if caller.end_user is not None:
        raise PermissionDenied("A batch is made by a key of its own, not for an end user.")
    kept = None if metadata is None else check_metadata(metadata)
    if output_lifetime is not None and not MIN_LIFETIME <= output_lifetime <= MAX_LIFETIME:
        raise InvalidRequest(
            "Invalid 'output_expires_after.seconds': must be from 3600 (1 hour) to 2592000 (30 days).",
            param="output_expires_after.seconds",
        )
    with tenant_scope() as tenant_id:
        file = _input_file(input_file_id, caller)
        batch = Batch.objects.create(
            tenant_id=tenant_id,
            endpoint=endpoint,
            input_file_id=file.id,
            input_bytes=file.bytes,
            key_id=caller.key_id,
            groups=sorted(caller.groups),
            metadata=kept,
            output_seconds=int(output_lifetime.total_seconds()) if output_lifetime else None,
            expires_at=now + WINDOW,
        )
        batch.refresh_from_db(fields=["created_at"])
        work.enqueue(tenant_id, batch.id, work.BATCHES, share=current_share())
        record(by=caller.actor, action="batch.created", target=batch, changes={"file": str(file.id)})
    return batch


def _input_file(file_id: UUID | None, caller: Caller) -> File:
    file = get_file(file_id=file_id, sight=caller.sight)
    if file.purpose != "batch":
        raise InvalidRequest(
            f"The file has the purpose '{file.purpose}'; a batch needs one with the purpose 'batch'.",
            param="input_file_id",
        )
    if file.status != File.Status.PROCESSED:
        raise InvalidRequest("The file's bytes are not there (yet): see its status.", param="input_file_id")
    if file.bytes > MAX_FILE_BYTES:
        raise InvalidRequest(f"The file has {file.bytes:,} bytes; a batch takes 200 MB.", param="input_file_id")
    return file


def batches(*, sight: Collection[str] | None = None) -> QuerySet[Batch]:
    """The current tenant's of which the caller may know; evaluate inside a scope.

    Args:
        sight: the groups that the caller is limited to, if it is: it needs all that the batch was made with.
    """
    return Batch.objects.all() if sight is None else Batch.objects.filter(groups__contained_by=sorted(sight))


def get_batch(*, batch_id: UUID | None, sight: Collection[str] | None = None) -> Batch:
    """A batch of the current tenant.

    Raises:
        NotFound: missing, another tenant's, or kept from the caller.
    """
    with tenant_scope():
        batch = batches(sight=sight).filter(id=batch_id).first() if batch_id else None
    if batch is None:
        raise NotFound("No such Batch object.", param="id")
    return batch


def cancel_batch(*, batch_id: UUID | None, caller: Caller, now: datetime) -> Batch:
    """Stop a batch: what is under way ends, the rest is dropped, and what is done is written. Again does nothing.

    Raises:
        NotFound: as `get_batch`.
        InvalidRequest: it has ended.
    """
    with tenant_scope():
        found = get_batch(batch_id=batch_id, sight=caller.sight)
        batch = Batch.objects.select_for_update().get(id=found.id)
        if batch.state in (State.CANCELLING, State.CANCELLED):
            return batch
        if batch.state not in (State.VALIDATING, State.IN_PROGRESS):
            raise InvalidRequest(f"Cannot cancel a batch with status '{batch.state}'.", param="id")
        batch.state, batch.cancelling_at = State.CANCELLING, now
        batch.save(update_fields=["state", "cancelling_at"])
        work.hasten(batch.tenant_id, batch.id)
        record(by=caller.actor, action="batch.cancelled", target=batch)
    return batch
