"""A file that somebody puts into a vector store by hand: stored, attached and queued, or refused as a whole.

No transaction is held while the bytes are written. What a store already has under the same name is not put in twice,
and what takes the name of a file that failed takes its place as soon as it is ready.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenants.audit import Actor
from tenants.errors import AtriumError
from tenants.scope import tenant_scope

from . import files
from .access import UNCHANGED, AllowedGroups, Unchanged
from .attachments import attach, get_attachment
from .chunking import ChunkingStrategy
from .files import Upload
from .lifetime import StoreExpired, has_expired
from .models import VectorStoreFile
from .replacement import replace_file
from .vector_stores import get_store


@dataclass(frozen=True)
class Uploaded:
    """The file in its store. `begun` is how many ingestions wait for a worker: none where it was there already."""

    attachment: VectorStoreFile
    begun: int


def upload_to_store(
    *,
    store_id: UUID,
    upload: Upload,
    by: Actor,
    now: datetime,
    attributes: dict[str, Any] | None = None,
    strategy: ChunkingStrategy | None = None,
    allowed_groups: AllowedGroups | Unchanged = UNCHANGED,
    replaces: UUID | None = None,
) -> Uploaded:
    """Store an upload and attach it to a store.

    Args:
        replaces: the file whose next version this is, wherever that is attached; it answers until this one is ready.

    Raises:
        NotFound: no such store, or no such file to replace.
        StoreExpired: nothing can be attached any more.
        InvalidRequest, FileTooLarge, QuotaExceeded, StorageUnavailable: as `files.create_file` and `attachments.attach`.
    """
    if has_expired(get_store(store_id=store_id), datetime.now(UTC)):
        raise StoreExpired
    if replaces is not None:
        get_attachment(store_id=store_id, file_id=replaces)
    else:
        files.check_size(upload.size)
        present = _present(store_id, upload)
        if present is not None:
            return Uploaded(present, 0)
        replaces = _failed(store_id, upload.filename, attributes or {})
    file = files.create_file(upload=upload, purpose="assistants", by=by, now=now)
    try:
        if replaces is not None:
            begun = replace_file(old_file_id=replaces, new_file_id=file.id, by=by)
        else:
            options = {"attributes": attributes, "strategy": strategy, "allowed_groups": allowed_groups}
            attach(store_id=store_id, file_id=file.id, by=by, **options)  # type: ignore[arg-type]
            begun = 1
    except AtriumError:
        files.delete_file(file_id=file.id, by=by)
        raise
    return Uploaded(_with_surroundings(store_id, file.id), begun)


def _present(store_id: UUID, upload: Upload) -> VectorStoreFile | None:
    """The same bytes under the same name, where the store has them and they did not fail."""
    digest = files.digest_of(upload.content)
    with tenant_scope():
        rows = VectorStoreFile.objects.filter(file__sha256=digest, file__filename=upload.filename, store_id=store_id)
        alive = rows.exclude(state__in=(VectorStoreFile.State.FAILED, VectorStoreFile.State.CANCELLED))
        return alive.select_related("file", "store").first()


def _failed(store_id: UUID, filename: str, attributes: dict[str, Any]) -> UUID | None:
    """The file of that name, from the same folder, that could not be ingested."""
    with tenant_scope():
        rows = VectorStoreFile.objects.filter(
            file__filename=filename, file__source_url="", store_id=store_id, state=VectorStoreFile.State.FAILED
        )
        alike = [row for row in rows.order_by("-file_id")[:20] if row.attributes.get("path") == attributes.get("path")]
        return alike[0].file_id if alike else None


def _with_surroundings(store_id: UUID, file_id: UUID) -> VectorStoreFile:
    with tenant_scope():
        rows = VectorStoreFile.objects.select_related("file", "store")
        return rows.get(store_id=store_id, file_id=file_id)
