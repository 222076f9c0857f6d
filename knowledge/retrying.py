"""Files of a store that failed or were cancelled, tried again: fetched again where they never came, then ingested."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from tenants.audit import Actor
from tenants.errors import NotFound
from tenants.scope import tenant_scope

from .attachments import Wanted, attach_all, lock_store
from .chunking import ChunkingStrategy
from .models import File, VectorStoreFile
from .sources import remote_files

_AT_ONCE = 500
_ENDED_BADLY = (VectorStoreFile.State.FAILED, VectorStoreFile.State.CANCELLED)


@dataclass(frozen=True)
class Begun:
    """How many files now wait for a worker that ingests, and how many for one that fetches them first."""

    queued: int = 0
    fetched: int = 0


def retry(*, store_id: UUID, by: Actor, file_ids: Collection[UUID] | None = None) -> Begun:
    """Ingest files of a store once more, described, cut, shut and paid for as before. What did not fail stays as it is.

    Args:
        file_ids: which; all of them (500 at a time, the latest) where nothing is said.

    Raises:
        NotFound: no such store, or a file that it does not have.
        StoreExpired, QuotaExceeded: as `attachments.attach`.
    """
    with tenant_scope():
        lock_store(store_id)
        rows = VectorStoreFile.objects.filter(store_id=store_id).select_related("file", "replaces")
        if file_ids is not None:
            rows = rows.filter(file_id__in=file_ids)
            if len(rows) != len(set(file_ids)):
                raise NotFound("This file is not in the vector store any more.", param="file_id")
        ended = list(rows.filter(state__in=_ENDED_BADLY).order_by("-file_id")[:_AT_ONCE])
        missing = [row.file for row in ended if row.file.status == File.Status.ERROR]
        for file in missing:
            remote_files.refresh(file_id=file.id, by=by)
        for row in ended:
            attach_all(store_id=store_id, wanted=[_again(row)], by=by, key_id=row.key_id)
        return Begun(len(ended) - len(missing), len(missing))


def _again(row: VectorStoreFile) -> Wanted:
    return Wanted(
        row.file_id,
        row.attributes,
        ChunkingStrategy(**row.chunking),
        replaces=row.replaces.file_id if row.replaces else None,
        allowed_groups=row.allowed_groups,
    )
