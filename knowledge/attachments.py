"""Files in vector stores: attached (which starts ingestion), described by attributes, replaced, detached."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet

from billing.limits import current_share
from billing.limits.quotas import require_room
from billing.models import Limit
from tenants.audit import Actor, record, record_all
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.scope import current_tenant, tenant_scope
from tenants.work import INGESTION, enqueue_all

from .access import UNCHANGED, AllowedGroups, Unchanged, check_change, files_known_to, known_to
from .attributes import check_attributes
from .chunking import ChunkingStrategy
from .ingestion.preparing import preparation_of
from .lifetime import StoreExpired, has_expired
from .models import UNEXPIRED, Chunk, Document, File, VectorStore, VectorStoreFile
from .removal import IN_PROGRESS, remove_attachment
from .versions import take_over

State = VectorStoreFile.State


@dataclass(frozen=True)
class Wanted:
    """A file to attach. `replaces` is another file of the store, which answers until this one is completed.

    `attributes` of None keep those of an attachment that is there already. Where `allowed_groups` are not said, it stays
    as restricted as what was there, or as what it replaces.
    """

    file_id: UUID | None
    attributes: dict[str, Any] | None = None
    strategy: ChunkingStrategy | None = None
    replaces: UUID | None = None
    allowed_groups: AllowedGroups | Unchanged = UNCHANGED

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
    allowed_groups: AllowedGroups | Unchanged = UNCHANGED,
    sight: Collection[str] | None = None,
) -> VectorStoreFile:
    """Attach a file to a store and queue its ingestion, paid by the budget of `key_id`.

    Attaching again what is there, or on its way, with the same chunking only sets the attributes and the groups. A file
    that is still being fetched waits for its bytes, and fails where they do not come.

    Args:
        sight: the groups that the caller is limited to, if it is (`access.known_to`).

    Raises:
        NotFound: no such store or file of which the caller may know, or the file to replace is not in the store.
        InvalidRequest: attributes or groups out of bounds, a file that replaces itself or could not be fetched.
        StoreExpired: nothing can be attached any more.
        QuotaExceeded: the plan has no room for another document.
    """
    wanted = Wanted(file_id, attributes, strategy, replaces, allowed_groups)
    with tenant_scope():
        return attach_all(store_id=store_id, wanted=[wanted], by=by, key_id=key_id, param="file_id", sight=sight)[0]


def attach_all(
    *,
    store_id: UUID | None,
    wanted: Sequence[Wanted],
    by: Actor,
    key_id: UUID | None = None,
    param: str = "file_ids",
    sight: Collection[str] | None = None,
) -> list[VectorStoreFile]:
    """`attach` for many files at once, all or nothing, in a handful of statements; in the order of `wanted`.

    A file that is wanted twice is attached once, as its last mention says.
    """
    described = {one.file_id: check_attributes(one.attributes) for one in wanted}
    groups = {one.file_id: check_change(one.allowed_groups) for one in wanted}
    with tenant_scope() as tenant_id:
        store = lock_store(store_id)
        if has_expired(store, datetime.now(UTC)):
            raise StoreExpired
        files = _files(wanted, param, sight)
        present: dict[UUID | None, VectorStoreFile] = {
            row.file_id: row
            for row in VectorStoreFile.objects.filter(
                known_to(sight), store=store, file_id__in=[*files, *_replaced(wanted)]
            )
        }
        made = []
        for one in {one.file_id: one for one in wanted}.values():
            file, before = files[one.file_id], present.get(one.file_id)
            replaced = _version_before(one, present)
            if before is not None and _same(before, one):
                _describe_again(before, one, described[one.file_id], groups[one.file_id], replaced)
                continue
            if before is not None:
                remove_attachment(before)
            row = VectorStoreFile(
                id=uuid7(), tenant_id=tenant_id, store=store, file=file, attributes=described[one.file_id],
                chunking=one.chunking(), key_id=key_id, replaces_id=replaced.id if replaced else None,
                allowed_groups=_inherited(groups[one.file_id], before or replaced),
            )  # fmt: skip
            made.append(row)
            present[one.file_id] = row
        _start(made, by)
        return _fresh(store, files, [present[one.file_id] for one in wanted])


def _inherited(groups: AllowedGroups | Unchanged, before: VectorStoreFile | None) -> AllowedGroups:
    if groups is not UNCHANGED:
        return groups
    return before.allowed_groups if before is not None else None


def _files(wanted: Sequence[Wanted], param: str, sight: Collection[str] | None) -> dict[UUID | None, File]:
    """The files, kept as they are until this transaction ends: none is removed, and the end of a fetch, which begins
    what waits for it, sees what is attached here.
    """
    ids = sorted({one.file_id for one in wanted if one.file_id})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM knowledge_file WHERE tenant_id = %s AND id = ANY (%s) ORDER BY id FOR SHARE",
            [current_tenant(), ids],
        )
    found = File.objects.filter(UNEXPIRED, files_known_to(sight)).in_bulk(ids)
    if len(found) != len({one.file_id for one in wanted}):
        raise NotFound("No such File object.", param=param)
    for file in found.values():
        if file.status == File.Status.ERROR:
            raise InvalidRequest(f"The file could not be fetched. {file.status_details}", param=param)
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
    before: VectorStoreFile,
    one: Wanted,
    described: dict[str, Any],
    groups: AllowedGroups | Unchanged,
    replaced: VectorStoreFile | None,
) -> None:
    """What is there stays; it is described anew, and takes the place of what it is to replace."""
    if replaced is not None:
        before.replaces_id = replaced.id
        before.save(update_fields=["replaces"])
    _change(before, described if one.attributes is not None else UNCHANGED, groups)
    if replaced is not None and before.state == State.COMPLETED:
        take_over(before)


def _start(made: list[VectorStoreFile], by: Actor) -> None:
    """Write new attachments with their work; those of files that are still being fetched wait for their bytes."""
    if not made:
        return
    require_room(Limit.DOCUMENTS, len([row for row in made if row.replaces_id is None]))
    VectorStoreFile.objects.bulk_create(made)
    ready = [row.id for row in made if row.file.status == File.Status.PROCESSED]
    enqueue_all(made[0].tenant_id, ready, INGESTION, share=current_share())
    changed = [(row, {"file": str(row.file_id)} | _replacement(row) | _restriction(row)) for row in made]
    record_all(by=by, action="vector_store_file.attached", changed=changed)


def begin_waiting(file: File) -> int:
    """Queue the ingestion of a file whose bytes have arrived, wherever it is attached; inside a scope, file locked.

    Returns:
        How many attachments waited.
    """
    waiting = list(VectorStoreFile.objects.filter(file=file, state=State.QUEUED).values_list("id", flat=True))
    enqueue_all(file.tenant_id, waiting, INGESTION, share=current_share())
    return len(waiting)


def fail_waiting(file: File, *, message: str) -> None:
    """Fail what waited for bytes that will not come; inside a scope, with its stores and the file locked."""
    VectorStoreFile.objects.filter(file=file, state=State.QUEUED).update(
        state=State.FAILED, error_code="invalid_file", error_message=message
    )


def lock_stores_of(file_id: UUID | None, *, also: UUID | None = None) -> None:
    """Lock the stores that have a file, and another, before the file itself is locked, as everybody does; inside a
    scope.
    """
    rows = VectorStoreFile.objects.filter(file_id__in=[file_id] if file_id else [])
    having = Q(id__in=rows.values("store_id")) | Q(id=also)
    list(VectorStore.all_rows.select_for_update(no_key=True).filter(having).order_by("id").values_list("id"))


def _restriction(row: VectorStoreFile) -> dict[str, list[str]]:
    return {"allowed_groups": row.allowed_groups} if row.allowed_groups is not None else {}


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


def attachments_of(store: VectorStore, *, sight: Collection[str] | None = None) -> QuerySet[VectorStoreFile]:
    """The files of a store of which the caller may know, with their rows; evaluate inside a scope."""
    return VectorStoreFile.objects.filter(known_to(sight), store=store).select_related("file")


def get_attachment(
    *, store_id: UUID | None, file_id: UUID | None, sight: Collection[str] | None = None
) -> VectorStoreFile:
    """A file of a store.

    Raises:
        NotFound: no such store, or no such file in it of which the caller may know.
    """
    with tenant_scope():
        rows = VectorStoreFile.objects.select_related("file").filter(known_to(sight), store__deleted_at=None)
        found = rows.filter(store_id=store_id, file_id=file_id).first() if store_id and file_id else None
    if found is None:
        raise NotFound("No such VectorStoreFile object.", param="file_id")
    return found


def describe(
    *,
    store_id: UUID | None,
    file_id: UUID | None,
    by: Actor,
    attributes: dict[str, Any] | Unchanged | None = UNCHANGED,
    allowed_groups: AllowedGroups | Unchanged = UNCHANGED,
    sight: Collection[str] | None = None,
) -> VectorStoreFile:
    """Replace the attributes of a file in a store, or its groups, or both; search follows at once.

    Raises:
        NotFound: no such store, or no such file in it of which the caller may know.
        InvalidRequest: attributes or groups out of bounds.
    """
    described = attributes if attributes is UNCHANGED else check_attributes(attributes)
    groups = check_change(allowed_groups)
    with tenant_scope():
        lock_store(store_id)
        attachment = get_attachment(store_id=store_id, file_id=file_id, sight=sight)
        changes: dict[str, Any] = {}
        if described is not UNCHANGED:
            changes["attributes"] = sorted(described)
        if groups is not UNCHANGED:
            changes["allowed_groups"] = [attachment.allowed_groups, groups]
        _change(attachment, described, groups)
        record(by=by, action="vector_store_file.updated", target=attachment, changes=changes)
    return attachment


def _change(
    attachment: VectorStoreFile, attributes: dict[str, Any] | Unchanged, groups: AllowedGroups | Unchanged
) -> None:
    """What a search finds may change by it: the store, which the caller has locked, has another revision."""
    if attributes is not UNCHANGED:
        attachment.attributes = attributes
    if groups is not UNCHANGED:
        attachment.allowed_groups = groups
        _follow(attachment)
    attachment.save(update_fields=["attributes", "allowed_groups"])
    VectorStore.objects.filter(id=attachment.store_id).update(revision=F("revision") + 1)


def _follow(attachment: VectorStoreFile) -> None:
    """Versions on their way to the attachment's place are for the same readers, or one would open what was shut."""
    seen, ids = {attachment.id}, [attachment.id]
    while ids:
        later = VectorStoreFile.objects.filter(replaces_id__in=ids).exclude(id__in=seen)
        ids = list(later.values_list("id", flat=True))
        VectorStoreFile.objects.filter(id__in=ids).update(allowed_groups=attachment.allowed_groups)
        seen |= set(ids)


def detach(
    *, store_id: UUID | None, file_id: UUID | None, by: Actor, sight: Collection[str] | None = None
) -> VectorStoreFile:
    """Take a file out of a store; the file itself stays. Ingestion under way ends without a trace.

    Raises:
        NotFound: no such store, or no such file in it of which the caller may know.
    """
    with tenant_scope():
        lock_store(store_id)
        attachment = get_attachment(store_id=store_id, file_id=file_id, sight=sight)
        remove_attachment(attachment)
        record(by=by, action="vector_store_file.detached", target=attachment, changes={"file": str(file_id)})
    return attachment


def text_of(*, store_id: UUID | None, file_id: UUID | None, groups: Collection[str] = ()) -> list[str]:
    """The text of a file in a store, as the store prepares it, in one piece or several; empty until completed.

    Raises:
        NotFound: no such store, or no such file in it that a caller in `groups` finds.
    """
    with tenant_scope():
        attachment = get_attachment(store_id=store_id, file_id=file_id, sight=groups)
        if not attachment.chunk_count:
            return []
        preparation = preparation_of(VectorStore.objects.get(id=store_id))
        kept = Document.objects.filter(file_id=attachment.file_id, preparation=preparation)
        text = kept.values_list("text", flat=True).first()
        return [text] if text is not None else _text_of_chunks(attachment)


def _text_of_chunks(attachment: VectorStoreFile) -> list[str]:
    """The text of what was ingested before texts were kept, in pieces of one chunk each without what overlaps."""
    pieces, end = [], 0
    for chunk in Chunk.objects.filter(store_file=attachment).order_by("ordinal"):
        pieces.append(chunk.text[max(0, end - chunk.start) :])
        end = max(end, chunk.end)
    return [piece for piece in pieces if piece]
