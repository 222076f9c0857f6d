"""From an attached file to searchable chunks: queued → parsing → chunking → embedding → completed | failed(reason).

A run holds a claim (`tenants.work`) and no transaction while it parses and embeds. What search reads appears in one
transaction together with the charge and the end of the claim: a worker may die anywhere and leaves nothing half
written, and a run whose claim was taken over writes nothing. So every step can run twice.

Money: one hold for a document, taken when its tokens are counted, for exactly what they cost. Its lease is as long as
the slowest embedding may take; a run that follows a dead one releases the dead one's hold first, so the length costs
nothing. A tenant pays for documents that are completed; runs that failed are the platform's loss.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from billing.pricing import UnpricedModel
from billing.reservations import BudgetExhausted, BudgetHeld, release
from tenants import work
from tenants.errors import AtriumError, ServiceUnavailable
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tenants.work import Claim

from . import storage
from .chunking import Chunk as Piece
from .chunking import ChunkingStrategy, Span, chunk, chunk_embeddings, distinct_passages
from .leases import Lease, LeaseLost, keeping, lease_time
from .metering import Hold, Payer, charge, hold_tokens
from .models import Chunk, Embedding, File, VectorStore, VectorStoreFile
from .parsing.documents import INVALID_FILE, ParserUnavailable, UnreadableFile
from .parsing.reading import parse
from .ports import Embedder, SpaceChanged, embedder_for

logger = logging.getLogger(__name__)
State = VectorStoreFile.State

MAX_ATTEMPTS = 5
SERVER_ERROR = "server_error"
_EMBEDDED_AT_ONCE = 32  # passages between two looks at the lease: some two seconds of the embedded model
_ROWS_AT_ONCE = 500
_SLOWEST_TOKENS_PER_SECOND = 200
_SHORTEST_HOLD = timedelta(minutes=10)
_BUDGET_WAIT = timedelta(seconds=10)
_PROGRESS_SECONDS = 1.0
# Percent of a run: reading and cutting are short, embedding is nearly all of it.
_PARSED, _CHUNKED, _EMBEDDED = 5, 10, 99


@dataclass(frozen=True)
class Job:
    """An attachment to be ingested, as it was when the run began."""

    claim: Claim
    store_id: UUID
    file: File
    chunking: dict[str, int]
    space_id: UUID
    space: str
    embedding_model: str
    payer: Payer
    attempts: int
    has_twin: bool

    @property
    def id(self) -> UUID:
        """The attachment's id, which is also its work's and the request's that the ledger names."""
        return self.claim.id


class Progress:
    """Writes state and percent, at most about once a second: what is over sooner nobody would see."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._written = time.monotonic()

    def reach(self, state: str, percent: int) -> None:
        """The run is here now."""
        if time.monotonic() - self._written >= _PROGRESS_SECONDS:
            self._written = time.monotonic()
            with tenant_scope():
                _fenced(self._job).update(state=state, percent=percent)


def claim_next(*, worker: str) -> Claim | None:
    """The next attachment to ingest by fairness between tenants; the edge then acts for its tenant."""
    return work.claim(work.INGESTION, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str) -> None:
    """Ingest what `claim` stands for, to its end: completed, failed with a reason, or given back to be tried again."""
    job = _begin(claim)
    if job is None:
        return
    try:
        with keeping(claim, worker=worker) as lease:
            if not (job.has_twin and _copy_twin(job)):
                _ingest(job, lease)
    except LeaseLost:
        logger.info("ingestion of %s was taken over or cancelled", job.id)
        _release_hold(job)
    except (ParserUnavailable, ServiceUnavailable) as error:
        _try_again(job, reason=str(error))
    except BudgetHeld as error:
        # Nobody's fault, so it does not count: the calls under way end, or the budget is spent, and then it is said.
        _give_back(job, delay=_BUDGET_WAIT, reason=error.message, counts=False)
    except UnreadableFile as error:
        _fail(job, error.code, error.message)
    except storage.ContentMissing:
        _fail(job, INVALID_FILE, "The content of the file is gone. Upload it again.")
    except (BudgetExhausted, UnpricedModel) as error:
        _fail(job, SERVER_ERROR, error.message)
    except AtriumError as error:
        # The embedder's source refuses: the model was withdrawn from the tenant, or replaced by another version.
        _fail(job, SERVER_ERROR, error.message)


def recover(claim: Claim) -> None:
    """Decide about a unit whose worker died: again, or, after the last attempt, failed and dead-lettered."""
    with tenant_scope():
        attachment = VectorStoreFile.objects.filter(id=claim.id).first()
        if attachment is None:
            work.finish(claim)
        elif attachment.attempts < MAX_ATTEMPTS:
            work.retry(claim, delay=timedelta(), reason="the worker died")
        else:
            _give_up(claim, attachment, f"The worker died on this file {MAX_ATTEMPTS} times.")


def _begin(claim: Claim) -> Job | None:
    """Take the fence; None where nothing is to be done."""
    with tenant_scope() as tenant_id:
        rows = VectorStoreFile.objects.select_for_update(of=("self",)).select_related("store__space", "file")
        attachment = rows.filter(id=claim.id).first()
        if attachment is None or attachment.state in (State.COMPLETED, State.FAILED, State.CANCELLED):
            work.finish(claim)
            return None
        if attachment.reservation_id is not None:
            release(attachment.reservation_id)
        if attachment.attempts >= MAX_ATTEMPTS:
            _give_up(claim, attachment, f"Ingestion failed {MAX_ATTEMPTS} times. {attachment.error_message}".strip())
            return None
        attachment.attempts += 1
        attachment.claim = claim.attempt
        attachment.state, attachment.percent, attachment.reservation_id = State.PARSING, 0, None
        attachment.save(update_fields=["attempts", "claim", "state", "percent", "reservation_id"])
        store, file = attachment.store, attachment.file
        return Job(
            claim=claim,
            store_id=store.id,
            file=file,
            chunking=attachment.chunking,
            space_id=store.space_id,
            space=store.space.name,
            embedding_model=store.embedding_model,
            payer=Payer(attachment.key_id, Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)),
            attempts=attachment.attempts,
            has_twin=_twins(file, attachment.chunking, store.space_id).exists(),
        )


def _twins(file: File, chunking: dict[str, int], space_id: UUID) -> QuerySet[VectorStoreFile]:
    """Completed attachments of the same content, cut and embedded the same way."""
    return VectorStoreFile.objects.filter(
        file__sha256=file.sha256,
        file__mime_type=file.mime_type,  # by the name, which decides how text is read
        chunking=chunking,
        store__space_id=space_id,
        state=State.COMPLETED,
    )


def _ingest(job: Job, lease: Lease) -> None:
    """The long way: read, cut, embed, publish."""
    progress = Progress(job)
    document = parse(storage.read(job.file.id), job.file.filename)
    progress.reach(State.CHUNKING, _PARSED)
    chunks = chunk(document, ChunkingStrategy(**job.chunking))
    passages = distinct_passages(chunks)
    if not passages:
        raise UnreadableFile(INVALID_FILE, "No text was found in the file.")
    lease.check()
    embedder = embedder_for(job.embedding_model)
    if embedder.space != job.space:
        raise SpaceChanged(job.space)
    texts = [document.text[span.start : span.end] for span in passages]
    hold = _hold(job, sum(embedder.count_tokens(text) for text in texts))
    vectors = _embed(texts, embedder, lease, progress)
    _complete(job, chunks, dict(zip(passages, vectors, strict=True)), hold)


def _hold(job: Job, tokens: int) -> Hold:
    lease = max(_SHORTEST_HOLD, timedelta(seconds=tokens / _SLOWEST_TOKENS_PER_SECOND))
    now = datetime.now(UTC)
    with tenant_scope():
        hold = hold_tokens(
            payer=job.payer, request_id=job.id, operation="ingestion", model=job.embedding_model, tokens=tokens,
            lease=lease, now=now,
        )  # fmt: skip
        held = {"reservation_id": hold.reservation_id, "state": State.EMBEDDING, "percent": _CHUNKED}
        if not _fenced(job).update(**held):
            raise LeaseLost
    return hold


def _embed(texts: Sequence[str], embedder: Embedder, lease: Lease, progress: Progress) -> np.ndarray:
    """One unit vector for each text, embedded in batches of like length, so that little is padding."""
    vectors = np.empty((len(texts), embedder.dimensions), np.float32)
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    for start in range(0, len(order), _EMBEDDED_AT_ONCE):
        lease.check()
        batch = order[start : start + _EMBEDDED_AT_ONCE]
        vectors[batch] = embedder.embed([texts[index] for index in batch])
        share = (start + len(batch)) / len(order)
        progress.reach(State.EMBEDDING, int(_CHUNKED + (_EMBEDDED - _CHUNKED) * share))
    return unit(vectors)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1 (a zero row stays zero), so that their inner product is the cosine."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


def _complete(job: Job, chunks: Sequence[Piece], vectors: dict[Span, np.ndarray], hold: Hold) -> None:
    """Everything at once: chunks, vectors, terms, the charge, the state, the end of the claim."""
    with tenant_scope() as tenant_id:
        _lock(job)
        rows = [_chunk_row(tenant_id, job, piece) for piece in chunks]
        Chunk.objects.bulk_create(rows, batch_size=_ROWS_AT_ONCE)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            Embedding.objects.bulk_create(
                _embedding_rows(job, rows[part], chunks[part], vectors), batch_size=_ROWS_AT_ONCE
            )
        _publish(job, hold)


def _chunk_row(tenant_id: UUID, job: Job, piece: Piece) -> Chunk:
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
    )


def _embedding_rows(
    job: Job, rows: Sequence[Chunk], chunks: Sequence[Piece], vectors: dict[Span, np.ndarray]
) -> list[Embedding]:
    return [
        Embedding(
            tenant_id=row.tenant_id,
            space_id=job.space_id,
            chunk_id=row.id,
            passage=passage,
            store_id=job.store_id,
            store_file_id=job.id,
            embedding=vector,
        )
        for row, piece in zip(rows, chunks, strict=True)
        for passage, vector in enumerate(chunk_embeddings(piece, vectors))
    ]


def _copy_twin(job: Job) -> bool:
    """Take the chunks of a twin, free of charge; False where it was detached meanwhile."""
    with tenant_scope() as tenant_id:
        _lock(job)
        twins = _twins(job.file, job.chunking, job.space_id)
        # Locked, so that it cannot be detached while it is copied.
        twin = twins.select_for_update(of=("self",)).first()
        if twin is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT copy_chunks(%s, %s, %s, %s)", [tenant_id, twin.id, job.store_id, job.id])
        _publish(job)
    return True


def _lock(job: Job) -> None:
    """Lock the store and the attachment, in this order always.

    Raises:
        LeaseLost: the attachment is gone, or another attempt's.
    """
    VectorStore.objects.select_for_update(no_key=True).filter(id=job.store_id).first()
    if _fenced(job).select_for_update().first() is None:
        raise LeaseLost


def _publish(job: Job, hold: Hold | None = None) -> None:
    """Index the terms, count, charge, mark completed and end the claim, in the caller's transaction; hot rows last."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM publish_chunks(%s, %s, %s)", [job.claim.tenant_id, job.store_id, job.id])
        chunks, size = cursor.fetchone()
    if hold is not None:
        charge(hold, attempt=job.claim.attempt)
    _end(job, state=State.COMPLETED, percent=100, chunk_count=chunks, usage_bytes=size, completed_at=Now())


def _fenced(job: Job) -> QuerySet[VectorStoreFile]:
    return VectorStoreFile.objects.filter(id=job.id, claim=job.claim.attempt)


def _end(job: Job, **values: Any) -> None:
    """Write the final state and leave the queue, or nothing at all.

    Raises:
        LeaseLost: the caller's transaction must be undone.
    """
    _fenced(job).update(reservation_id=None, **values)
    if not work.finish(job.claim):
        raise LeaseLost


def _fail(job: Job, code: str, message: str) -> None:
    logger.info("ingestion of %s failed: %s", job.id, code)
    try:
        with tenant_scope():
            _release_hold(job)
            _end(job, state=State.FAILED, error_code=code, error_message=message)
    except LeaseLost:
        logger.info("ingestion of %s was taken over or cancelled", job.id)


def _try_again(job: Job, *, reason: str) -> None:
    """A temporary fault: wait 2, 4, 8, 16 s, then give up."""
    if job.attempts < MAX_ATTEMPTS:
        _give_back(job, delay=timedelta(seconds=2**job.attempts), reason=reason, counts=True)
        return
    with tenant_scope():
        attachment = _fenced(job).first()
        if attachment is not None:
            _release_hold(job)
            _give_up(job.claim, attachment, f"Ingestion failed {MAX_ATTEMPTS} times. {reason}")


def _give_back(job: Job, *, delay: timedelta, reason: str, counts: bool) -> None:
    with tenant_scope():
        _release_hold(job)
        if work.retry(job.claim, delay=delay, reason=reason):
            attempts = job.attempts if counts else job.attempts - 1
            _fenced(job).update(
                state=State.QUEUED, percent=0, reservation_id=None, attempts=attempts, error_message=reason
            )


def _give_up(claim: Claim, attachment: VectorStoreFile, message: str) -> None:
    """Fail for good and keep the unit as a dead letter; inside a scope."""
    if work.bury(claim, reason=message):
        if attachment.reservation_id is not None:
            release(attachment.reservation_id)
        attachment.state, attachment.error_code, attachment.error_message = State.FAILED, SERVER_ERROR, message
        attachment.reservation_id = None
        attachment.save(update_fields=["state", "error_code", "error_message", "reservation_id"])


def _release_hold(job: Job) -> None:
    """Give back what this run held, if its attachment still names it."""
    with tenant_scope():
        reservation_id = _fenced(job).values_list("reservation_id", flat=True).first()
        if reservation_id is not None:
            release(reservation_id)
