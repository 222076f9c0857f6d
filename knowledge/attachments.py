"""Files in vector stores: attached (which starts ingestion), described by attributes, replaced, detached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from billing.plans import current_plan
from tenants.audit import Actor, record, record_all
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.scope import current_tenant, tenant_scope
from tenants.work import INGESTION, enqueue_all

from .attributes import check_attributes
from .chunking import ChunkingStrategy
from .models import UNEXPIRED, Chunk, File, VectorStore, VectorStoreFile
from .removal import IN_PROGRESS, remove_attachment
from .versions import take_over

State = VectorStoreFile.State


class StoreExpired(AtriumError):
    """The store's time is over: its content is gone, its list of files stays."""

    status = 400
    type = "invalid_request_error"
    code = "vector_store_expired"

    def __init__(self) -> None:
        super().__init__(
            "This vector store has expired. Make a new one with the files that this one still lists.",
            param="vector_store_id",
        )


@dataclass(frozen=True)
class Wanted:
    """A file to attach. `replaces` is another file of the store, which answers until this one is completed.

    `attributes` of None keep those of an attachment that is there already.
    """

    file_id: UUID | None
    attributes: dict[str, Any] | None = None
    strategy: ChunkingStrategy | None = None
    replaces: UUID | None = None

    def chunking(self) -> dict[str, int]:
        """The sizes as they are stored."""
        strategy = self.strategy or ChunkingStrategy()
        return {
            "max_chunk_size_tokens": strategy.max_chunk_size_tokens,
            "chunk_overlap_tokens": strategy.chunk_overlap_tokens,
        }


def attach(
    *,
    store_id: UUID | None,
    file_id: UUID | None,
    by: Actor,
    key_id: UUID | None = None,
    attributes: dict[str, Any] | None = None,
    strategy: ChunkingStrategy | None = None,
    replaces: UUID | None = None,
) -> VectorStoreFile:
    """Attach a file to a store and queue its ingestion, paid by the budget of `key_id`.

    Attaching again what is there, or on its way, with the same chunking only sets the attributes.

    Raises:
        NotFound: no such store or file in this tenant, or the file to replace is not in the store.
        InvalidRequest: attributes out of bounds, a file that replaces itself.
        StoreExpired: nothing can be attached any more.
    """
    wanted = Wanted(file_id, attributes, strategy, replaces)
    with tenant_scope():
        return attach_all(store_id=store_id, wanted=[wanted], by=by, key_id=key_id, param="file_id")[0]


def attach_all(
    *, store_id: UUID | None, wanted: Sequence[Wanted], by: Actor, key_id: UUID | None = None, param: str = "file_ids"
) -> list[VectorStoreFile]:
    """`attach` for many files at once, all or nothing, in a handful of statements; in the order of `wanted`.

    A file that is wanted twice is attached once, as its last mention says.
    """
    described = {one.file_id: check_attributes(one.attributes) for one in wanted}
    with tenant_scope() as tenant_id:
        store = lock_store(store_id)
        if store.expired_at is not None:
            raise StoreExpired
        files = _files(wanted, param)
        present: dict[UUID | None, VectorStoreFile] = {
            row.file_id: row
            for row in VectorStoreFile.objects.filter(store=store, file_id__in=[*files, *_replaced(wanted)])
        }
        made = []
        for one in {one.file_id: one for one in wanted}.values():
            file, before = files[one.file_id], present.get(one.file_id)
            replaced = _version_before(one, present)
            if before is not None and _same(before, one):
                _describe_again(before, one, described[one.file_id], replaced)
                continue
            if before is not None:
                remove_attachment(before)
            row = VectorStoreFile(
                id=uuid7(), tenant_id=tenant_id, store=store, file=file, attributes=described[one.file_id],
                chunking=one.chunking(), key_id=key_id, replaces_id=replaced.id if replaced else None,
            )  # fmt: skip
            made.append(row)
            present[one.file_id] = row
        _start(made, by)
        return _fresh(store, files, [present[one.file_id] for one in wanted])


def _files(wanted: Sequence[Wanted], param: str) -> dict[UUID | None, File]:
    """The files, kept from being removed until this transaction ends (their rows may still be marked)."""
    ids = sorted({one.file_id for one in wanted if one.file_id})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM knowledge_file WHERE tenant_id = %s AND id = ANY (%s) ORDER BY id FOR KEY SHARE",
            [current_tenant(), ids],
        )
    found = File.objects.filter(UNEXPIRED).in_bulk(ids)
    if len(found) != len({one.file_id for one in wanted}):
        raise NotFound("No such File object.", param=param)
    return dict(found)


def _replaced(wanted: Iterable[Wanted]) -> list[UUID]:
    return [one.replaces for one in wanted if one.replaces]


def _version_before(one: Wanted, present: dict[UUID | None, VectorStoreFile]) -> VectorStoreFile | None:
    """The attachment that `one` replaces.

    Raises:
        NotFound: it is not in the store.
        InvalidRequest: it is the file itself.
    """
    if one.replaces is None:
        return None
    if one.replaces == one.file_id:
        raise InvalidRequest("Invalid 'replaces': a file cannot replace itself.", param="replaces")
    if one.replaces not in present:
        raise NotFound("No such VectorStoreFile object.", param="replaces")
    return present[one.replaces]


def _same(before: VectorStoreFile, one: Wanted) -> bool:
    return before.chunking == one.chunking() and before.state in (*IN_PROGRESS, State.COMPLETED)


def _describe_again(
    before: VectorStoreFile, one: Wanted, described: dict[str, Any], replaced: VectorStoreFile | None
) -> None:
    """What is there stays; it is described anew, and takes the place of what it is to replace."""
    if one.attributes is not None:
        before.attributes = described
    if replaced is not None:
        before.replaces_id = replaced.id
    before.save(update_fields=["attributes", "replaces"])
    VectorStore.objects.filter(id=before.store_id).update(revision=F("revision") + 1)
    if replaced is not None and before.state == State.COMPLETED:
        take_over(before)


def _start(made: list[VectorStoreFile], by: Actor) -> None:
    """Write new attachments with their work."""
    if not made:
        return
    VectorStoreFile.objects.bulk_create(made)
    enqueue_all(made[0].tenant_id, [row.id for row in made], INGESTION, weight=current_plan().weight)
    changed = [(row, {"file": str(row.file_id)} | _replacement(row)) for row in made]
    record_all(by=by, action="vector_store_file.attached", changed=changed)


def _replacement(row: VectorStoreFile) -> dict[str, str]:
    return {"replaces": str(row.replaces_id)} if row.replaces_id else {}


def _fresh(
    store: VectorStore, files: dict[UUID | None, File], rows: Iterable[VectorStoreFile]
) -> list[VectorStoreFile]:
    """The rows as the database has them, with their parts."""
    rows = list(rows)
    found = VectorStoreFile.objects.in_bulk([row.id for row in rows])
    for row in found.values():
        row.store, row.file = store, files[row.file_id]
    return [found[row.id] for row in rows]


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
        rows = VectorStoreFile.objects.select_related("file").filter(store__deleted_at=None)
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
        lock_store(store_id)
        attachment = get_attachment(store_id=store_id, file_id=file_id)
        remove_attachment(attachment)
        record(by=by, action="vector_store_file.detached", target=attachment, changes={"file": str(file_id)})
    return attachment


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
