"""A change of a store's embedding model: asked for, replaced by a later wish, taken back, and how far it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from billing.limits import current_share
from billing.reservations import release
from tenants.ids import uuid7
from tenants.models import Work
from tenants.work import REEMBEDDING, enqueue

from ..models import Reembedding, Space, VectorStore
from ..ports import Embedder

State = Reembedding.State


@dataclass(frozen=True)
class Progress:
    """How far a store is on its way to `embedding_model`; `error` says why it failed."""

    embedding_model: str
    failed: bool
    percent: int
    error: str


def space_of(tenant_id: UUID, embedder: Embedder) -> Space:
    """The space of an embedder's vectors, made where it is new; inside a scope."""
    values = {"dimensions": embedder.dimensions}
    return Space.objects.get_or_create(tenant_id=tenant_id, name=embedder.space, defaults=values)[0]


def begin(store: VectorStore, embedder: Embedder, *, key_id: UUID | None) -> bool:
    """Queue the way of a locked store to an embedder's space, paid by the budget of `key_id`; inside a scope. False
    where it is there, or on its way there, already.

    A second wish replaces the first; the space that the store has takes the wish back.
    """
    space = space_of(store.tenant_id, embedder)
    row = Reembedding.objects.select_for_update().filter(store=store).first()
    if row is None and space.id == store.space_id:
        return False
    if row is not None and row.space_id == space.id and row.state == State.EMBEDDING:
        return False
    if row is None:
        row = Reembedding(tenant_id=store.tenant_id, store=store)
    elif row.space_id != space.id:
        row.chunks_done = 0
    _leave_unit(row)
    row.embedding_model, row.space, row.key_id, row.cursor, row.error_message = embedder.model, space, key_id, None, ""
    row.state = State.CLEANING if space.id == store.space_id else State.EMBEDDING
    next_unit(row)
    return True


def _leave_unit(row: Reembedding) -> None:
    """Whoever works on the unit before may not write any more, and holds nothing."""
    if row.reservation_id is not None:
        release(row.reservation_id)
    Work.objects.filter(id=row.unit_id).delete()


def next_unit(row: Reembedding) -> None:
    """Save a locked row with a new unit, and queue that; inside a scope."""
    row.unit_id, row.attempts, row.reservation_id = uuid7(), 0, None
    row.save()
    enqueue(row.tenant_id, row.unit_id, REEMBEDDING, share=current_share())


def progress_of(stores: Iterable[VectorStore]) -> dict[UUID, Progress]:
    """Of those of the stores that are on their way, how far; inside a scope."""
    chunks = {store.id: store.chunk_count for store in stores}
    rows = Reembedding.objects.filter(store_id__in=chunks).exclude(state=State.CLEANING)
    return {
        row.store_id: Progress(
            embedding_model=row.embedding_model,
            failed=row.state == State.FAILED,
            percent=min(99, 100 * row.chunks_done // max(1, chunks[row.store_id])),
            error=row.error_message,
        )
        for row in rows
    }
