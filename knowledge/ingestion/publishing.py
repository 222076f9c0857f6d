"""What search reads appears here: chunks, vectors and terms with the charge and the end of the claim, at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from django.db import connection
from django.db.models.functions import Now

from tenants.leases import LeaseLost
from tenants.scope import tenant_scope

from ..chunking import Chunk as Piece
from ..chunking import Span, chunk_embeddings, embedded_places
from ..languages import languages_of
from ..models import VectorStoreFile
from ..versions import take_over
from . import documents
from .documents import Text
from .endings import end
from .holds import charge_document
from .preparing import preparation_of
from .units import Job, State, lock, twins

_ROWS_AT_ONCE = 100  # chunks with their vectors: a statement of some two megabytes


def complete(job: Job, text: Text, chunks: Sequence[Piece], vectors: dict[Span, np.ndarray], tokens: int) -> None:
    """Everything at once: chunks, vectors, terms, the charge, the state, the end of the claim.

    The rows are written before the store is locked: documents of one store wait for each other's terms only.
    """
    languages = languages_of([piece.text for piece in chunks])
    with tenant_scope():
        documents.keep(job, text)
        for start in range(0, len(chunks), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            _write(job, chunks[part], languages[part], vectors)
        read = text.document
        publish(job, lock(job), tokens, ocr_pages=read.ocr_pages, pages=len(read.pages) or None)


def _write(job: Job, chunks: Sequence[Piece], languages: Sequence[str], vectors: dict[Span, np.ndarray]) -> None:
    """Chunks and vectors in one statement: COPY is refused under row security, and rows one by one are slow.

    Raises:
        LeaseLost: another run was faster.
    """
    rows = [_row(piece, language, vectors) for piece, language in zip(chunks, languages, strict=True)]
    values: list[Any] = [job.claim.tenant_id, job.store.id, job.id, job.store.space_id, orjson.dumps(rows).decode()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT write_chunks(%s, %s, %s, %s, %s)", values)
        [written] = cursor.fetchone()
    if written != len(chunks):
        raise LeaseLost


def _row(piece: Piece, language: str, vectors: dict[Span, np.ndarray]) -> dict[str, Any]:
    """A chunk as `write_chunks` reads it; vectors in their text form at the precision in which they are stored."""
    embedded = chunk_embeddings(piece, vectors).astype(np.float16)
    places = embedded_places(piece)
    return {
        "ordinal": piece.ordinal,
        "text": piece.text,
        "start": piece.start,
        "end": piece.end,
        "page": piece.page,
        "heading": piece.heading,
        "tokens": piece.tokens,
        "language": language,
        "passages": [[span.start, span.end, span.tokens] for span in places],
        "vectors": [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY).decode() for row in embedded],
    }


def copy_twin(job: Job) -> bool:
    """Take the chunks of a twin, free of charge; False where it was detached meanwhile."""
    with tenant_scope() as tenant_id:
        attachment = lock(job)
        # Locked, so that it cannot be detached while it is copied.
        same = twins(
            sha256=job.file.sha256, mime_type=job.file.mime_type, chunking=job.chunking, space=job.store.space_id,
            preparation=job.store.preparation,
        )  # fmt: skip
        twin = same.select_for_update(of=("self",)).first()
        if twin is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT copy_chunks(%s, %s, %s, %s)", [tenant_id, twin.id, job.store.id, job.id])
            wanted = preparation_of(job.store)
            cursor.execute("SELECT copy_documents(%s, %s, %s, %s)", [tenant_id, twin.file_id, job.file.id, wanted])
        publish(job, attachment, pages=twin.pages_total)
    return True


def publish(job: Job, attachment: VectorStoreFile, tokens: int = 0, *, ocr_pages: int = 0, pages: int | None) -> None:
    """Index the terms, count, take the place of an earlier version, charge, mark completed and end the claim, in the
    caller's transaction; hot rows last.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM publish_chunks(%s, %s, %s)", [job.claim.tenant_id, job.store.id, job.id])
        chunks, size = cursor.fetchone()
    take_over(attachment)
    if tokens or ocr_pages:
        charge_document(job, attachment.reservation_id, tokens, ocr_pages=ocr_pages)
    end(
        job, state=State.COMPLETED, percent=100, chunk_count=chunks, usage_bytes=size, completed_at=Now(),
        pages_total=pages, pages_done=pages or 0,
    )  # fmt: skip
