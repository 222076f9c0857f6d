"""How an attachment ends before its time: removed with all that search reads of it, or cancelled on its way."""

from collections.abc import Iterable

from django.db import connection

from billing.reservations import release
from tenants.models import Work

from .models import File, FileBatchEntry, IngestionPart, VectorStore, VectorStoreFile

State = VectorStoreFile.State
#: What the wire calls `in_progress`.
IN_PROGRESS = (State.QUEUED, State.PARSING, State.CHUNKING, State.EMBEDDING)


def remove_attachment(attachment: VectorStoreFile) -> None:
    """Delete an attachment with its work, its hold and all that search reads of it; inside a scope.

    The attachment is read again under the lock: a run may have taken a hold, or an earlier version's place, meanwhile.
    """
    rows = VectorStoreFile.objects.filter(id=attachment.id)
    list(VectorStore.all_rows.select_for_update(no_key=True).filter(id=attachment.store_id).values_list("id"))
    locked = rows.select_for_update().values_list("reservation_id", "replaces_id").first()
    if locked is None:
        return
    reservation_id, replaced = locked
    if reservation_id is not None:
        release(reservation_id)
    Work.objects.filter(id=attachment.id).delete()
    FileBatchEntry.objects.filter(store_file_id=attachment.id).delete()
    # What was to replace it is to replace what it was to replace.
    VectorStoreFile.objects.filter(replaces_id=attachment.id).update(replaces_id=replaced)
    with connection.cursor() as cursor:
        cursor.execute("SELECT remove_chunks(%s, %s, %s)", [attachment.tenant_id, attachment.store_id, attachment.id])
    # Nothing refers to it any more: the plain DELETE spares the look for what would cascade.
    rows._raw_delete(rows.db)


def remove_everywhere(file: File) -> None:
    """Delete a file's attachments; inside a scope. Its stores are locked first, all in one order."""
    rows = VectorStoreFile.objects.filter(file=file)
    stores = VectorStore.all_rows.select_for_update(no_key=True).filter(id__in=rows.values("store_id"))
    list(stores.order_by("id").values_list("id"))
    for attachment in rows.order_by("store_id"):
        remove_attachment(attachment)


def cancel(attachments: Iterable[VectorStoreFile]) -> None:
    """Stop the ingestion of locked attachments that are in progress, and release what it held; inside a scope.

    A run under way loses its fence, so nothing that it made appears.
    """
    rows = list(attachments)
    for row in rows:
        if row.reservation_id is not None:
            release(row.reservation_id)
    ids = [row.id for row in rows]
    Work.objects.filter(
        id__in=[*ids, *IngestionPart.objects.filter(store_file__in=ids).values_list("id", flat=True)]
    ).delete()
    IngestionPart.objects.filter(store_file__in=ids).delete()
    VectorStoreFile.objects.filter(id__in=ids).update(
        state=State.CANCELLED, claim=0, reservation_id=None, replaces=None
    )
