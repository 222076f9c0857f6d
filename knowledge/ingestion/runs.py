"""From an attached file to searchable chunks: queued → parsing → chunking → embedding → completed | failed(reason).

A run holds a claim (`tenants.work`) and no transaction while it parses and embeds. What search reads appears in one
transaction together with the charge and the end of the claim: a worker may die anywhere and leaves nothing half
written, and a run whose claim was taken over writes nothing. So every step can run twice. What ran when a worker died
runs alone from then on (see `company`), and only for a death alone is anything given up.

A short document is one run. A long one is read and embedded in parts (see `parts.py`): its run ends where it leaves
parts to others, and the run that follows the last part goes on from there.

Money: one hold for a document (see `holds.py`). A tenant pays for documents that are completed, once; runs that failed
are the platform's loss.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from billing.prices import UnpricedModel
from billing.reservations import BudgetExhausted, BudgetHeld
from tenants import work
from tenants.errors import AtriumError, ServiceUnavailable
from tenants.leases import Lease, LeaseLost, keeping, lease_time
from tenants.scope import tenant_scope
from tenants.work import Claim

from .. import storage
from ..chunking import ChunkingStrategy, Span, chunk, distinct_passages
from ..parsing.documents import INVALID_FILE, ParserUnavailable, UnreadableFile
from ..parsing.reading import parse
from ..ports import Embedder
from . import company, documents
from .beginnings import Suspect, begin
from .documents import BeingRead, ReadOtherwise, Text
from .embedding import embed
from .endings import SERVER_ERROR, fail, give_back, release_hold, try_again
from .holds import hold
from .parts import Place, place, run_part, split_embedding, split_reading, vectors_of_parts
from .progress import CHUNKED, PARSED, Progress
from .publishing import complete, copy_twin
from .reuse import reusable_vectors
from .sources import embedder_of
from .units import Job, Part, SpaceSwitched, State, fenced

logger = logging.getLogger(__name__)
_BUDGET_WAIT = timedelta(seconds=10)
_READING_WAIT = timedelta(seconds=2)
# A document of a few passages more than a part is not worth the parts.
_ALONE = 1.5


def claim_next(*, worker: str) -> Claim | None:
    """The next unit to ingest by fairness between tenants; the edge then acts for its tenant.

    Waits while something runs alone in this process: what is not claimed, another process may take.
    """
    company.here.wait()
    return work.claim(work.INGESTION, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str) -> int:
    """Do what `claim` stands for, to its end: completed, failed with a reason, or given back to be tried again.

    Returns how many units that put on the queue, each of which wants a doorbell.
    """
    with keeping(claim, worker=worker) as lease:
        try:
            with company.here.beside_others():
                return _run(begin(claim), lease)
        except Suspect:
            logger.warning("ingestion of %s goes on alone: a worker died under it", claim.id)
        with company.here.alone():
            if lease.lost.is_set():
                return 0
            return _run(begin(claim, alone=True), lease)


def _run(unit: Job | Part | None, lease: Lease) -> int:
    if unit is None:
        return 0
    try:
        return run_part(unit, lease) if isinstance(unit, Part) else _ingest(unit, lease)
    except LeaseLost:
        logger.info("ingestion of %s was taken over or cancelled", unit.id)
        if isinstance(unit, Job):
            release_hold(unit)
    except (ParserUnavailable, ServiceUnavailable) as error:
        try_again(unit, reason=str(error))
    except ReadOtherwise:
        give_back(unit, delay=timedelta(), reason="the file was read by another run", counts=False)
    except BeingRead:
        give_back(unit, delay=_READING_WAIT, reason="the file is being read for another store", counts=False)
    except SpaceSwitched:
        give_back(unit, delay=timedelta(), reason="The store's embedding model was changed.", counts=False)
    except BudgetHeld as error:
        # Nobody's fault, so it does not count: the calls under way end, or the budget is spent, and then it is said.
        give_back(unit, delay=_BUDGET_WAIT, reason=error.message, counts=False)
    except UnreadableFile as error:
        fail(unit, error.code, error.message)
    except storage.ContentMissing:
        fail(unit, INVALID_FILE, "The content of the file is gone. Upload it again.")
    except (BudgetExhausted, UnpricedModel) as error:
        fail(unit, SERVER_ERROR, error.message)
    except AtriumError as error:
        # The embedder's source refuses: the model was withdrawn from the tenant, or replaced by another version.
        fail(unit, SERVER_ERROR, error.message)
    return 0


def _ingest(job: Job, lease: Lease) -> int:
    """The story of a document; returns how many parts it left on the queue."""
    if job.has_twin and copy_twin(job):
        return 0
    progress = Progress(job)
    text = documents.stored(job) or documents.assembled(job)
    if text is None:
        data = storage.read(job.file.stored_id)
        ranges = documents.page_ranges(data, job.file.filename)
        if ranges:
            return split_reading(job, ranges)
        text = documents.just_read(job, parse(data, job.file.filename))
    progress.reach(State.CHUNKING, PARSED)
    lease.check()
    return _index(job, text, lease, progress)


def _index(job: Job, text: Text, lease: Lease, progress: Progress) -> int:
    """Cut, embed what has no vector yet, publish."""
    document = text.document
    chunks = chunk(document, ChunkingStrategy(**job.chunking))
    passages = distinct_passages(chunks)
    if not passages:
        raise UnreadableFile(INVALID_FILE, "No text was found in the file.")
    embedder = embedder_of(job.store)
    vectors, tokens = _known_vectors(job, document.text, passages)
    missing = _priced(embedder, document.text, [span for span in passages if place(span) not in vectors])
    if len(missing) > _ALONE * embedder.texts_at_once:
        return split_embedding(job, text, missing, embedder.texts_at_once, embedded_before=tokens)
    if missing:
        tokens += sum(span.tokens for span, _ in missing)
        _hold(job, text, tokens)
        made = embed([words for _, words in missing], embedder, lease)
        vectors |= {place(span): vector for (span, _), vector in zip(missing, made, strict=True)}
    complete(job, text, chunks, {span: vectors[place(span)] for span in passages}, tokens)
    return 0


def _known_vectors(job: Job, text: str, passages: Sequence[Span]) -> tuple[dict[Place, np.ndarray], int]:
    """Vectors that parts of this job have made, with the tokens they are charged for, and free ones of older texts."""
    vectors, tokens = vectors_of_parts(job)
    if job.older:
        older = reusable_vectors(store_files=job.older, space_id=job.store.space_id)
        for span in passages:
            vector = older.get(text[span.start : span.end])
            if vector is not None:
                vectors.setdefault(place(span), vector)
    return vectors, tokens


def _priced(embedder: Embedder, text: str, spans: Sequence[Span]) -> list[tuple[Span, str]]:
    """Passages with their text, and with the tokens that the embedder's price counts."""
    words = [text[span.start : span.end] for span in spans]
    if embedder.counts_word_pieces:
        return list(zip(spans, words, strict=True))
    counted = [Span(span.start, span.end, embedder.count_tokens(part)) for span, part in zip(spans, words, strict=True)]
    return list(zip(counted, words, strict=True))


def _hold(job: Job, text: Text, tokens: int) -> None:
    """Keep the text and hold what its vectors cost."""
    with tenant_scope():
        if job.has_parts:
            release_hold(job)
        documents.keep(job, text)
        held = hold(job, tokens, ocr_pages=text.document.ocr_pages)
        values = {"reservation_id": held.reservation_id, "state": State.EMBEDDING, "percent": max(CHUNKED, job.percent)}
        if not fenced(job).update(**values):
            raise LeaseLost
