"""What search reads appears here: chunks, vectors and terms with the charge and the end of the claim, at once."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from django.db import connection
from django.db.models.functions import Now

from tenants.scope import tenant_scope

from ..chunking import Chunk as Piece
from ..chunking import Span, chunk_embeddings, embedded_places
from ..languages import languages_of
from ..models import Chunk, Embedding, VectorStoreFile
from ..versions import take_over
from . import documents
from .documents import Text
from .endings import end
from .holds import charge_tokens
from .units import Job, State, lock, twins

_ROWS_AT_ONCE = 500


def complete(job: Job, text: Text, chunks: Sequence[Piece], vectors: dict[Span, np.ndarray], tokens: int) -> None:
    """Everything at once: chunks, vectors, terms, the charge, the state, the end of the claim."""
    languages = languages_of([piece.text for piece in chunks])
    with tenant_scope() as tenant_id:
        attachment = lock(job)
        documents.keep(job, text)
        rows = [_chunk_row(tenant_id, job, *pair) for pair in zip(chunks, languages, strict=True)]
        Chunk.objects.bulk_create(rows, batch_size=_ROWS_AT_ONCE)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            Embedding.objects.bulk_create(
                _embedding_rows(job, rows[part], chunks[part], vectors), batch_size=_ROWS_AT_ONCE
            )
        publish(job, attachment, tokens, pages=len(text.document.pages) or None)


def _chunk_row(tenant_id: UUID, job: Job, piece: Piece, language: str) -> Chunk:
    return Chunk(
        tenant_id=tenant_id,
        store_file_id=job.id,
        ordinal=piece.ordinal,
        text=piece.text,
        start=piece.start,
        end=piece.end,
        page=piece.page,
        heading=piece.heading,
        tokens=piece.tokens,
        language=language,
    )


def _embedding_rows(
    job: Job, rows: Sequence[Chunk], chunks: Sequence[Piece], vectors: dict[Span, np.ndarray]
) -> list[Embedding]:
    return [
        Embedding(
            tenant_id=row.tenant_id,
            space_id=job.store.space_id,
            chunk_id=row.id,
            passage=passage,
            start=place.start,
            end=place.end,
            store_id=job.store.id,
            store_file_id=job.id,
            embedding=vector,
        )
        for row, piece in zip(rows, chunks, strict=True)
        for passage, (vector, place) in enumerate(
            zip(chunk_embeddings(piece, vectors), embedded_places(piece), strict=True)
        )
    ]


def copy_twin(job: Job) -> bool:
    """Take the chunks of a twin, free of charge; False where it was detached meanwhile."""
    with tenant_scope() as tenant_id:
        attachment = lock(job)
        # Locked, so that it cannot be detached while it is copied.
        same = twins(
            sha256=job.file.sha256, mime_type=job.file.mime_type, chunking=job.chunking, space=job.store.space_id
        )
        twin = same.select_for_update(of=("self",)).first()
        if twin is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT copy_chunks(%s, %s, %s, %s)", [tenant_id, twin.id, job.store.id, job.id])
            cursor.execute("SELECT copy_documents(%s, %s, %s)", [tenant_id, twin.file_id, job.file.id])
        publish(job, attachment, pages=twin.pages_total)
    return True


def publish(job: Job, attachment: VectorStoreFile, tokens: int = 0, *, pages: int | None) -> None:
    """Index the terms, count, take the place of an earlier version, charge, mark completed and end the claim, in the
    caller's transaction; hot rows last.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM publish_chunks(%s, %s, %s)", [job.claim.tenant_id, job.store.id, job.id])
        chunks, size = cursor.fetchone()
    take_over(attachment)
    if tokens:
        charge_tokens(job, tokens)
    end(
        job, state=State.COMPLETED, percent=100, chunk_count=chunks, usage_bytes=size, completed_at=Now(),
        pages_total=pages, pages_done=pages or 0,
    )  # fmt: skip
