"""What is deleted answers like what never was from the moment it is marked; a unit of work removes the rest of it
(`purging.py`): a request never waits for a hundred thousand chunks, and bytes that the object store could not remove
are tried again.
"""

from uuid import UUID

from django.db.models.functions import Now

from tenants.audit import Actor, record
from tenants.work import PURGING, enqueue

from .models import BucketSource, Document, File, VectorStore, VectorStoreFile


def mark_file(file: File, *, by: Actor, reason: str = "") -> None:
    """A file is deleted; inside a scope, after what search reads of it was removed. Again does nothing."""
    if File.objects.filter(id=file.id).update(deleted_at=Now()):
        Document.objects.filter(file=file).delete()
        enqueue(file.tenant_id, file.id, PURGING)
        record(by=by, action="file.deleted", target=file, changes={"reason": reason} if reason else {})


def mark_store(store: VectorStore, *, by: Actor) -> None:
    """A locked store is deleted; inside a scope."""
    BucketSource.objects.filter(store=store).delete()
    VectorStore.objects.filter(id=store.id).update(deleted_at=Now(), revision=store.revision + 1)
    enqueue(store.tenant_id, store.id, PURGING)
    record(by=by, action="vector_store.deleted", target=store)


def delete_if_replaced(file_id: UUID, *, by: Actor) -> None:
    """Delete a file that a newer version replaces, once no store has it any more; inside a scope.

    Its row is locked before it is asked, so that of two stores that switch at once the later one deletes it.
    """
    file = File.objects.select_for_update(no_key=True).filter(id=file_id).exclude(replaced_by=None).first()
    if file is not None and not VectorStoreFile.objects.filter(file=file, store__deleted_at=None).exists():
        mark_file(file, by=by, reason="replaced")
