"""Vector stores: created, described, counted, deleted."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from tenants.audit import Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.scope import tenant_scope

from .attachments import Wanted, attach_all, lock_store
from .attributes import check_metadata, storable
from .chunking import ChunkingStrategy
from .deletion import mark_store
from .lifetime import StoreExpired, has_expired
from .models import VectorStore, VectorStoreFile
from .ports import DEFAULT_MODEL, embedder_for
from .preparation.settings import check_preparation
from .reembedding.requests import begin, space_of
from .removal import IN_PROGRESS, cancel

State = VectorStoreFile.State
MAX_FILES_AT_CREATION = 500


@dataclass(frozen=True)
class FileCounts:
    """How many of a store's files are where, and the bytes that its content takes; all of one moment."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0
    usage_bytes: int = 0


def create_store(
    *,
    by: Actor,
    name: str = "",
    description: str = "",
    metadata: dict[str, Any] | None = None,
    expires_after_days: int | None = None,
    embedding_model: str = DEFAULT_MODEL,
    file_ids: Sequence[UUID | None] = (),
    strategy: ChunkingStrategy | None = None,
    key_id: UUID | None = None,
    sight: Collection[str] | None = None,
    preparation: dict[str, Any] | None = None,
) -> VectorStore:
    """Create a store of the current tenant and attach files to it, all or nothing.

    Raises:
        InvalidRequest: metadata, a name or a number of files out of bounds.
        NotFound: a file that this tenant does not have.
    """
    described = check_metadata(metadata)
    prepared = check_preparation(preparation)
    _check_names(name, description)
    if len(file_ids) > MAX_FILES_AT_CREATION:
        raise InvalidRequest(f"Invalid 'file_ids': at most {MAX_FILES_AT_CREATION}.", param="file_ids")
    embedder = embedder_for(embedding_model)
    with tenant_scope() as tenant_id:
        store = VectorStore.objects.create(
            tenant_id=tenant_id,
            name=name,
            description=description,
            metadata=described,
            preparation=prepared,
            embedding_model=embedder.model,
            space=space_of(tenant_id, embedder),
            expires_after_days=expires_after_days,
        )
        store.refresh_from_db(fields=["created_at", "last_active_at"])
        if file_ids:
            wanted = [Wanted(file_id, strategy=strategy) for file_id in file_ids]
            attach_all(store_id=store.id, wanted=wanted, by=by, key_id=key_id, sight=sight)
        record(by=by, action="vector_store.created", target=store, changes={"files": len(file_ids)})
    return store


def _check_names(name: str, description: str) -> None:
    if len(name) > 256 or not storable(name):
        raise InvalidRequest("Invalid 'name': at most 256 characters.", param="name")
    if len(description) > 512 or not storable(description):
        raise InvalidRequest("Invalid 'description': at most 512 characters.", param="description")


def get_store(*, store_id: UUID | None) -> VectorStore:
    """A store of the current tenant.

    Raises:
        NotFound: missing, or another tenant's.
    """
    with tenant_scope():
        store = VectorStore.objects.filter(id=store_id).first() if store_id else None
    if store is None:
        raise NotFound("No such VectorStore object.", param="vector_store_id")
    return store


def update_store(
    *, store_id: UUID | None, changes: dict[str, Any], by: Actor, key_id: UUID | None = None
) -> VectorStore:
    """Change a store's `name`, `description`, `metadata`, `expires_after_days` or `embedding_model`: what `changes` holds.

    A store with another model is embedded anew in the background, paid by the budget of `key_id`; `reembedding` says
    how. The store's present model takes such a wish back.

    Raises:
        NotFound: missing, or another tenant's; a model that the tenant may not use.
        InvalidRequest: out of bounds.
        StoreExpired: its time is over, which no later date and no other model undoes.
    """
    fields = sorted(changes)
    changes = dict(changes)
    model = changes.pop("embedding_model", None)
    if "metadata" in changes:
        changes["metadata"] = check_metadata(changes["metadata"])
    _check_names(changes.get("name", ""), changes.get("description", ""))
    embedder = embedder_for(model) if model is not None else None
    with tenant_scope():
        store = lock_store(store_id)
        if has_expired(store, datetime.now(UTC)) and {"expires_after_days", "embedding_model"} & set(fields):
            raise StoreExpired
        for field, value in changes.items():
            setattr(store, field, value)
        store.save(update_fields=sorted(changes))
        if embedder is not None:
            begin(store, embedder, key_id=key_id)
        record(by=by, action="vector_store.updated", target=store, changes=_told(fields, model))
    return store


def _told(fields: list[str], model: str | None) -> dict[str, Any]:
    return {"fields": fields} | ({"embedding_model": model} if model is not None else {})


def delete_store(*, store_id: UUID | None, by: Actor) -> VectorStore:
    """Delete a store; its files stay. Ring the doorbell of purging: its chunks and vectors are removed by that.

    Raises:
        NotFound: missing, or another tenant's.
    """
    with tenant_scope():
        store = lock_store(store_id)
        cancel(VectorStoreFile.objects.select_for_update().filter(store=store, state__in=IN_PROGRESS))
        mark_store(store, by=by)
    return store


def file_counts(store_ids: Iterable[UUID]) -> dict[UUID, FileCounts]:
    """The counts of each store, by one query, so that no file is between two states; inside a scope."""
    return count_by(VectorStoreFile.objects.filter(store_id__in=list(store_ids)), "store_id")


def count_by(rows: QuerySet[VectorStoreFile], key: str) -> dict[UUID, FileCounts]:
    """How many of `rows` are where, for each value of `key`, by one query; inside a scope."""
    found = rows.values(key).annotate(
        in_progress=Count("id", filter=Q(state__in=IN_PROGRESS)),
        completed=Count("id", filter=Q(state=State.COMPLETED)),
        failed=Count("id", filter=Q(state=State.FAILED)),
        cancelled=Count("id", filter=Q(state=State.CANCELLED)),
        total=Count("id"),
        bytes=Sum("usage_bytes"),
    )
    return {
        row[key]: FileCounts(
            in_progress=row["in_progress"],
            completed=row["completed"],
            failed=row["failed"],
            cancelled=row["cancelled"],
            total=row["total"],
            usage_bytes=int(row["bytes"]),
        )
        for row in found
    }
