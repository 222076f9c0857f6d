"""What a unit embeds: chunks without a vector in the new space, cut into the passages that their vectors are of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from django.db.models import Exists, OuterRef
from django.db.models.expressions import NegatedExpression

from ..chunking import Chunk as Piece
from ..chunking import Span, chunk_embeddings, embedded_places
from ..models import Chunk, Embedding, Reembedding, VectorStoreFile
from ..ports import Embedder

CHUNKS_AT_ONCE = 128
_ROWS_AT_ONCE = 500
#: Of a passage: its file, and its start and end in the document.
Place = tuple[UUID, int, int]


@dataclass(frozen=True)
class Passages:
    """Chunks of one unit, and their passages' texts. `cursor`: up to which file the store is then done."""

    chunks: list[Chunk]
    spans: dict[UUID, tuple[Span, ...]]
    cursor: UUID | None

    def texts(self) -> dict[tuple[UUID, Span], str]:
        """Each passage's text by its file and place; overlapping chunks share passages."""
        return {
            (chunk.store_file_id, span): chunk.text[span.start - chunk.start : span.end - chunk.start]
            for chunk in self.chunks
            for span in self.spans[chunk.id]
        }


def made_before(row: Reembedding, passages: Passages) -> dict[Place, np.ndarray]:
    """Vectors by (file, start, end) that the unit before made of passages that the first chunk shares with it."""
    first = passages.chunks[0]
    rows = Embedding.objects.filter(
        store_id=row.store_id, store_file_id=first.store_file_id, space_id=row.space_id, start__gte=first.start
    )
    found = rows.values_list("start", "end", "embedding")
    return {(first.store_file_id, start, end): np.array(vector, np.float32) for start, end, vector in found}


def lacking(store_id: UUID, space_id: UUID) -> NegatedExpression:
    """Whether a chunk has no vector in a space yet, as a condition."""
    return ~Exists(
        Embedding.objects.filter(
            tenant_id=OuterRef("tenant_id"), chunk_id=OuterRef("id"), space_id=space_id, store_id=store_id
        )
    )


def next_passages(row: Reembedding, store_space_id: UUID, embedder: Embedder) -> Passages:
    """The next chunks after the cursor, file by file; none where every file is done. Inside a scope."""
    files = _next_files(row)
    while files:
        rows = Chunk.objects.filter(lacking(row.store_id, row.space_id), store_file_id__in=files)
        chunks = list(rows.order_by("store_file_id", "ordinal")[:CHUNKS_AT_ONCE])
        if len(chunks) < CHUNKS_AT_ONCE:
            row.cursor = files[-1]
        if chunks:
            return Passages(chunks, _spans(chunks, store_space_id, embedder), row.cursor)
        files = _next_files(row)
    return Passages([], {}, row.cursor)


def _next_files(row: Reembedding) -> list[UUID]:
    """So many files after the cursor that they hold a unit's chunks."""
    rows = VectorStoreFile.objects.filter(store_id=row.store_id, chunk_count__gt=0).order_by("id")
    if row.cursor is not None:
        rows = rows.filter(id__gt=row.cursor)
    files, chunks = [], 0
    for file_id, count in rows.values_list("id", "chunk_count")[:CHUNKS_AT_ONCE]:
        files.append(file_id)
        chunks += count
        if chunks >= CHUNKS_AT_ONCE:
            break
    return files


def _spans(chunks: Sequence[Chunk], space_id: UUID, embedder: Embedder) -> dict[UUID, tuple[Span, ...]]:
    """The passages of each chunk, as the vectors that it has say; of several the last is their mean's place."""
    places = defaultdict(list)
    found = Embedding.objects.filter(chunk_id__in=[chunk.id for chunk in chunks], space_id=space_id)
    for chunk_id, start, end in found.order_by("passage").values_list("chunk_id", "start", "end"):
        if start < end:
            places[chunk_id].append((start, end))
    return {chunk.id: _passages(chunk, places[chunk.id], embedder) for chunk in chunks}


def _passages(chunk: Chunk, places: list[tuple[int, int]], embedder: Embedder) -> tuple[Span, ...]:
    passages = places[:-1] if len(places) > 1 else places or [(chunk.start, chunk.end)]
    return tuple(
        Span(start, end, embedder.count_tokens(chunk.text[start - chunk.start : end - chunk.start]))
        for start, end in passages
    )


def write(row: Reembedding, passages: Passages, vectors: dict[tuple[UUID, Span], np.ndarray]) -> int:
    """Write the vectors of those chunks that are still there; returns how many. In the caller's scope, store locked."""
    wanted = [chunk.id for chunk in passages.chunks]
    there = set(Chunk.objects.filter(id__in=wanted).values_list("id", flat=True))
    chunks = [chunk for chunk in passages.chunks if chunk.id in there]
    rows = [vector for chunk in chunks for vector in _rows(row, chunk, passages.spans[chunk.id], vectors)]
    Embedding.objects.bulk_create(rows, batch_size=_ROWS_AT_ONCE)
    return len(chunks)


def _rows(
    row: Reembedding, chunk: Chunk, spans: tuple[Span, ...], vectors: dict[tuple[UUID, Span], np.ndarray]
) -> list[Embedding]:
    piece = Piece(
        chunk.ordinal, chunk.text, chunk.start, chunk.end, chunk.page, chunk.heading, chunk.tokens, passages=spans
    )
    made = chunk_embeddings(piece, {span: vectors[chunk.store_file_id, span] for span in spans})
    return [
        Embedding(
            tenant_id=row.tenant_id,
            space_id=row.space_id,
            chunk_id=chunk.id,
            passage=number,
            start=place.start,
            end=place.end,
            store_id=row.store_id,
            store_file_id=chunk.store_file_id,
            embedding=vector,
        )
        for number, (vector, place) in enumerate(zip(made, embedded_places(piece), strict=True))
    ]
