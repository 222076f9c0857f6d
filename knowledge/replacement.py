"""A file followed by a newer version wherever it is attached (`versions.py` says how one store switches)."""

from collections.abc import Collection
from uuid import UUID

from tenants.audit import Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.scope import tenant_scope

from .access import files_known_to
from .attachments import Wanted, attach_all
from .chunking import ChunkingStrategy
from .deletion import delete_if_replaced
from .models import UNEXPIRED, File, VectorStoreFile


def replace_file(
    *,
    old_file_id: UUID | None,
    new_file_id: UUID | None,
    by: Actor,
    key_id: UUID | None = None,
    sight: Collection[str] | None = None,
) -> int:
    """Let a file be followed by a newer version in every store that has it, described and cut as the old one is; the
    old file is deleted when all have switched, at once where none has it. Returns in how many stores the new one is
    ingested; ring the doorbell of ingestion as often.

    While a version is still being ingested it can be replaced itself: the newest one takes the place of all before.

    Args:
        key_id: whose budget pays; by default that of the key that attached the old one.
        sight: the groups that the caller is limited to, if it is (`access.files_known_to`).

    Raises:
        NotFound: one of them is missing, expired, another tenant's, or nothing that the caller may know of.
        InvalidRequest: they are the same.
    """
    if old_file_id is None or new_file_id is None:
        raise NotFound("No such File object.", param="file_id")
    with tenant_scope():
        files = File.objects.filter(UNEXPIRED, files_known_to(sight)).in_bulk([old_file_id, new_file_id])
        if len(files) != len({old_file_id, new_file_id}):
            raise NotFound("No such File object.", param="file_id")
        if old_file_id == new_file_id:
            raise InvalidRequest("A file cannot replace itself.", param="file_id")
        rows = VectorStoreFile.objects.filter(file_id=old_file_id, store__deleted_at=None, store__expired_at=None)
        attached = list(rows.order_by("store_id"))
        for row in attached:
            wanted = Wanted(new_file_id, row.attributes, ChunkingStrategy(**row.chunking), replaces=old_file_id)
            attach_all(store_id=row.store_id, wanted=[wanted], by=by, key_id=key_id or row.key_id, sight=sight)
        File.objects.filter(id=old_file_id).update(replaced_by_id=new_file_id)
        record(by=by, action="file.replaced", target=files[old_file_id], changes={"by": str(new_file_id)})
        delete_if_replaced(old_file_id, by=by)
    return len(attached)
