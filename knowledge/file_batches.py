"""File batches: files attached to a store by one request, watched and cancelled together.

A batch has no state of its own but that somebody cancelled it: what it says is counted from its files by one query, so
its counts are of one moment and always add up.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from tenants.audit import Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.scope import tenant_scope

from .access import known_to
from .attachments import Wanted, attach_all, lock_store
from .models import FileBatch, FileBatchEntry, VectorStoreFile
from .removal import IN_PROGRESS, cancel
from .vector_stores import FileCounts, count_by

#: As OpenAI's.
MAX_FILES = 2000


def create_batch(
    *,
    store_id: UUID | None,
    wanted: Sequence[Wanted],
    by: Actor,
    key_id: UUID | None = None,
    param: str = "file_ids",
    sight: Collection[str] | None = None,
) -> FileBatch:
    """Attach files to a store as a batch, all or nothing, paid by the budget of `key_id`.

    A file that is there already, or on its way, belongs to the batch too.

    Raises:
        InvalidRequest: none or too many files, attributes out of bounds.
        NotFound: no such store, or a file that this tenant does not have.
        StoreExpired: nothing can be attached any more.
    """
    if not 0 < len(wanted) <= MAX_FILES:
        raise InvalidRequest(f"Invalid '{param}': 1 to {MAX_FILES} files.", param=param)
    with tenant_scope() as tenant_id:
        attached = attach_all(store_id=store_id, wanted=wanted, by=by, key_id=key_id, param=param, sight=sight)
        batch = FileBatch.objects.create(tenant_id=tenant_id, store_id=attached[0].store_id)
        batch.refresh_from_db(fields=["created_at"])
        FileBatchEntry.objects.bulk_create(
            FileBatchEntry(tenant_id=tenant_id, batch=batch, store_file_id=row_id)
            for row_id in dict.fromkeys(row.id for row in attached)
        )
        record(by=by, action="vector_store.file_batch.created", target=batch, changes={"files": len(attached)})
    return batch


def get_batch(*, store_id: UUID | None, batch_id: UUID | None) -> tuple[FileBatch, FileCounts]:
    """A batch of a store, and how many of its files are where.

    Raises:
        NotFound: no such store, or no such batch in it.
    """
    with tenant_scope():
        rows = FileBatch.objects.filter(store_id=store_id, store__deleted_at=None)
        batch = rows.filter(id=batch_id).first() if store_id and batch_id else None
        if batch is None:
            raise NotFound("No such VectorStoreFileBatch object.", param="batch_id")
        counted = count_by(VectorStoreFile.objects.filter(filebatchentry__batch=batch), "filebatchentry__batch")
    return batch, counted.get(batch.id, FileCounts())


def files_of(batch: FileBatch, *, sight: Collection[str] | None = None) -> QuerySet[VectorStoreFile]:
    """The files of a batch of which the caller may know; evaluate inside a scope."""
    return VectorStoreFile.objects.filter(known_to(sight), filebatchentry__batch=batch).select_related("file")


def status_of(batch: FileBatch, counts: FileCounts) -> str:
    """`in_progress`, and then `cancelled` if it was, `failed` if every file did, else `completed`."""
    if counts.in_progress:
        return "in_progress"
    if batch.cancelled_at is not None:
        return "cancelled"
    return "failed" if 0 < counts.total == counts.failed else "completed"


def cancel_batch(*, store_id: UUID | None, batch_id: UUID | None, by: Actor) -> tuple[FileBatch, FileCounts]:
    """Stop the ingestion of those of a batch's files that are still on their way. Again, or too late, does nothing.

    Raises:
        NotFound: no such store, or no such batch in it.
    """
    with tenant_scope():
        batch, _ = get_batch(store_id=store_id, batch_id=batch_id)
        lock_store(store_id)
        # Locked with its store, as completion does: a file is completed before this, or not at all.
        waiting: list[Any] = list(
            VectorStoreFile.objects.select_for_update(of=("self",))
            .filter(filebatchentry__batch=batch, state__in=IN_PROGRESS)
            .order_by("id")
        )
        if waiting:
            cancel(waiting)
            FileBatch.objects.filter(id=batch.id, cancelled_at=None).update(cancelled_at=Now())
            record(by=by, action="vector_store.file_batch.cancelled", target=batch, changes={"files": len(waiting)})
        return get_batch(store_id=store_id, batch_id=batch_id)
