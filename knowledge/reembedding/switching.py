"""The moment in which a store answers from its new space, and the removal of what it does not answer from."""

from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from tenants.audit import SYSTEM, record
from tenants.models import Work

from ..models import Chunk, Embedding, Reembedding, VectorStore
from .passages import lacking
from .requests import State, next_unit

CHUNKS_CLEANED_AT_ONCE = 1000
#: A search that was prepared in the space before finds its vectors for so long.
BEFORE_CLEANING = timedelta(minutes=1)


def switch(row: Reembedding, store: VectorStore) -> bool:
    """Switch a locked store if no chunk of it lacks a vector; inside a scope. Else begin at its first file again, for
    what came meanwhile, and return False.
    """
    row.cursor = None
    chunks = Chunk.objects.filter(store_file__store=store)
    if chunks.filter(lacking(store.id, row.space_id)).exists():
        next_unit(row)
        return False
    VectorStore.objects.filter(id=store.id).update(
        space_id=row.space_id, embedding_model=row.embedding_model, revision=store.revision + 1
    )
    changes = {"embedding_model": [store.embedding_model, row.embedding_model]}
    record(by=SYSTEM, action="vector_store.reembedded", target=store, changes=changes)
    row.state = State.CLEANING
    next_unit(row)
    Work.objects.filter(id=row.unit_id).update(state=Work.State.DELAYED, available_at=Now() + BEFORE_CLEANING)
    return True


def clean(row: Reembedding, store: VectorStore) -> bool:
    """Remove vectors of other spaces than the store's, of a thousand chunks at most; True where none is left."""
    others = Embedding.objects.filter(store_id=store.id).exclude(space_id=store.space_id)
    chunks = list(others.values_list("chunk_id", flat=True).distinct()[:CHUNKS_CLEANED_AT_ONCE])
    rows = others.filter(chunk_id__in=chunks)
    rows._raw_delete(rows.db)
    if len(chunks) == CHUNKS_CLEANED_AT_ONCE:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT measure_files(%s, %s)", [row.tenant_id, store.id])
    rows_of_it = Reembedding.objects.filter(id=row.id)
    rows_of_it._raw_delete(rows_of_it.db)
    return True
