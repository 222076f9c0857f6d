"""Files in vector stores: attached (which starts ingestion), described by attributes, detached."""

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from billing.plans import current_plan
from tenants.audit import Actor, record
from tenants.errors import NotFound
from tenants.models import Work
from tenants.scope import tenant_scope
from tenants.work import INGESTION, enqueue

from .attributes import check_attributes
from .chunking import ChunkingStrategy
from .models import UNEXPIRED, Chunk, File, VectorStore, VectorStoreFile

State = VectorStoreFile.State
#: What the wire calls `in_progress`.
IN_PROGRESS = (State.QUEUED, State.PARSING, State.CHUNKING, State.EMBEDDING)


def attach(
    *,
    store_id: UUID | None,
    file_id: UUID | None,
    by: Actor,
    key_id: UUID | None = None,
    attributes: dict[str, Any] | None = None,
    strategy: ChunkingStrategy | None = None,
) -> VectorStoreFile:
    """Attach a file to a store and queue its ingestion, paid by the budget of `key_id`.

    Attaching again what is there, or on its way, with the same chunking only sets the attributes.

    Raises:
        NotFound: no such store or file in this tenant.
        InvalidRequest: attributes out of bounds.
    """
    described = check_attributes(attributes)
    strategy = strategy or ChunkingStrategy()
    chunking = {
        "max_chunk_size_tokens": strategy.max_chunk_size_tokens,
        "chunk_overlap_tokens": strategy.chunk_overlap_tokens,
    }
    with tenant_scope() as tenant_id:
        store = lock_store(store_id)
        file = File.objects.filter(UNEXPIRED, id=file_id).first() if file_id else None
        if file is None:
            raise NotFound("No such File object.", param="file_id")
        before = VectorStoreFile.objects.filter(store=store, file=file).first()
        if before is not None and before.chunking == chunking and before.state in (*IN_PROGRESS, State.COMPLETED):
            before.attributes = described if attributes is not None else before.attributes
            before.save(update_fields=["attributes"])
            return _with_parts(before, store, file)
        if before is not None:
            remove_attachment(before)
        attachment = VectorStoreFile.objects.create(
            tenant_id=tenant_id, store=store, file=file, attributes=described, chunking=chunking, key_id=key_id
        )
        attachment.refresh_from_db(fields=["created_at"])
        enqueue(tenant_id, attachment.id, INGESTION, weight=current_plan().weight)
        record(by=by, action="vector_store_file.attached", target=attachment, changes={"file": str(file.id)})
    return _with_parts(attachment, store, file)


def _with_parts(attachment: VectorStoreFile, store: VectorStore, file: File) -> VectorStoreFile:
    attachment.store, attachment.file = store, file
    return attachment


def lock_store(store_id: UUID | None) -> VectorStore:
    """A store of the current tenant, locked against other changes of its content; inside a scope.

    Raises:
        NotFound: missing, or another tenant's.
    """
    rows = VectorStore.objects.select_for_update(no_key=True)
    store = rows.filter(id=store_id).first() if store_id else None
    if store is None:
        raise NotFound("No such VectorStore object.", param="vector_store_id")
    return store


def attachments_of(store: VectorStore) -> QuerySet[VectorStoreFile]:
    """The files of a store with their rows; evaluate inside a scope."""
    return VectorStoreFile.objects.filter(store=store).select_related("file")


def get_attachment(*, store_id: UUID | None, file_id: UUID | None) -> VectorStoreFile:
    """A file of a store.

    Raises:
        NotFound: no such store, or no such file in it.
    """
    with tenant_scope():
        rows = VectorStoreFile.objects.select_related("file")
        found = rows.filter(store_id=store_id, file_id=file_id).first() if store_id and file_id else None
    if found is None:
        raise NotFound("No such VectorStoreFile object.", param="file_id")
    return found


def set_attributes(
    *, store_id: UUID | None, file_id: UUID | None, attributes: dict[str, Any] | None, by: Actor
) -> VectorStoreFile:
    """Replace the attributes of a file in a store.

    Raises:
        NotFound: no such store, or no such file in it.
        InvalidRequest: attributes out of bounds.
    """
    described = check_attributes(attributes)
    with tenant_scope():
        store = lock_store(store_id)
        attachment = get_attachment(store_id=store_id, file_id=file_id)
        attachment.attributes = described
        attachment.save(update_fields=["attributes"])
        VectorStore.objects.filter(id=store.id).update(revision=store.revision + 1)
        record(by=by, action="vector_store_file.updated", target=attachment, changes={"attributes": sorted(described)})
    return attachment


def detach(*, store_id: UUID | None, file_id: UUID | None, by: Actor) -> VectorStoreFile:
    """Take a file out of a store; the file itself stays. Ingestion under way ends without a trace.

    Raises:
        NotFound: no such store, or no such file in it.
    """
    with tenant_scope():
        attachment = get_attachment(store_id=store_id, file_id=file_id)
        remove_attachment(attachment)
        record(by=by, action="vector_store_file.detached", target=attachment, changes={"file": str(file_id)})
    return attachment


def remove_attachment(attachment: VectorStoreFile) -> None:
    """Delete an attachment with its work and all that search reads of it; inside a scope."""
    lock_store(attachment.store_id)
    Work.objects.filter(id=attachment.id).delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT remove_chunks(%s, %s, %s)", [attachment.tenant_id, attachment.store_id, attachment.id])
    # Nothing refers to it any more: the plain DELETE spares the look for what would cascade.
    rows = VectorStoreFile.objects.filter(id=attachment.id)
    rows._raw_delete(rows.db)


def text_of(*, store_id: UUID | None, file_id: UUID | None) -> list[str]:
    """The parsed text of a file in a store, in pieces of one chunk each without what overlaps; empty until completed.

    Raises:
        NotFound: no such store, or no such file in it.
    """
    with tenant_scope():
        attachment = get_attachment(store_id=store_id, file_id=file_id)
        pieces, end = [], 0
        for chunk in Chunk.objects.filter(store_file=attachment).order_by("ordinal"):
            pieces.append(chunk.text[max(0, end - chunk.start) :])
            end = max(end, chunk.end)
    return [piece for piece in pieces if piece]
