"""From an attached file to searchable chunks: queued → parsing → chunking → embedding → completed | failed(reason).

A run holds a claim (`tenants.work`) and no transaction while it parses and embeds. What search reads appears in one
transaction together with the charge and the end of the claim: a worker may die anywhere and leaves nothing half
written, and a run whose claim was taken over writes nothing. So every step can run twice.

Money: one hold for a document, taken when its tokens are counted, for exactly what they cost. Its lease is as long as
the slowest embedding may take; a run that follows a dead one releases the dead one's hold first, so the length costs
nothing. A tenant pays for documents that are completed; runs that failed are the platform's loss.
"""

import logging
from datetime import timedelta

from billing.pricing import UnpricedModel
from billing.reservations import BudgetExhausted, BudgetHeld, release
from tenants import work
from tenants.errors import AtriumError, ServiceUnavailable
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tenants.work import Claim

from .. import storage
from ..chunking import ChunkingStrategy, chunk, distinct_passages
from ..metering import Payer
from ..models import VectorStoreFile
from ..parsing.documents import INVALID_FILE, ParserUnavailable, UnreadableFile
from ..parsing.reading import parse
from ..ports import SpaceChanged, embedder_for
from .embedding import embed
from .endings import MAX_ATTEMPTS, SERVER_ERROR, fail, give_back, give_up, release_hold, try_again
from .holds import hold
from .jobs import Job, SpaceSwitched, State, twins
from .leases import Lease, LeaseLost, keeping, lease_time
from .progress import PARSED, Progress
from .publishing import complete, copy_twin

logger = logging.getLogger(__name__)
_BUDGET_WAIT = timedelta(seconds=10)


def claim_next(*, worker: str) -> Claim | None:
    """The next attachment to ingest by fairness between tenants; the edge then acts for its tenant."""
    return work.claim(work.INGESTION, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str) -> None:
    """Ingest what `claim` stands for, to its end: completed, failed with a reason, or given back to be tried again."""
    job = begin(claim)
    if job is None:
        return
    try:
        with keeping(claim, worker=worker) as lease:
            if not (job.has_twin and copy_twin(job)):
                _ingest(job, lease)
    except LeaseLost:
        logger.info("ingestion of %s was taken over or cancelled", job.id)
        release_hold(job)
    except (ParserUnavailable, ServiceUnavailable) as error:
        try_again(job, reason=str(error))
    except SpaceSwitched:
        give_back(job, delay=timedelta(), reason="The store's embedding model was changed.", counts=False)
    except BudgetHeld as error:
        # Nobody's fault, so it does not count: the calls under way end, or the budget is spent, and then it is said.
        give_back(job, delay=_BUDGET_WAIT, reason=error.message, counts=False)
    except UnreadableFile as error:
        fail(job, error.code, error.message)
    except storage.ContentMissing:
        fail(job, INVALID_FILE, "The content of the file is gone. Upload it again.")
    except (BudgetExhausted, UnpricedModel) as error:
        fail(job, SERVER_ERROR, error.message)
    except AtriumError as error:
        # The embedder's source refuses: the model was withdrawn from the tenant, or replaced by another version.
        fail(job, SERVER_ERROR, error.message)


def recover(claim: Claim) -> None:
    """Decide about a unit whose worker died: again, or, after the last attempt, failed and dead-lettered."""
    with tenant_scope():
        attachment = VectorStoreFile.objects.filter(id=claim.id).first()
        if attachment is None:
            work.finish(claim)
        elif attachment.attempts < MAX_ATTEMPTS:
            work.retry(claim, delay=timedelta(), reason="the worker died")
        else:
            give_up(claim, attachment, f"The worker died on this file {MAX_ATTEMPTS} times.")


def begin(claim: Claim) -> Job | None:
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
            give_up(claim, attachment, f"Ingestion failed {MAX_ATTEMPTS} times. {attachment.error_message}".strip())
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
            has_twin=twins(file, attachment.chunking, store.space_id).exists(),
        )


def _ingest(job: Job, lease: Lease) -> None:
    """The long way: read, cut, embed, publish."""
    progress = Progress(job)
    document = parse(storage.read(job.file.id), job.file.filename)
    progress.reach(State.CHUNKING, PARSED)
    chunks = chunk(document, ChunkingStrategy(**job.chunking))
    passages = distinct_passages(chunks)
    if not passages:
        raise UnreadableFile(INVALID_FILE, "No text was found in the file.")
    lease.check()
    embedder = embedder_for(job.embedding_model)
    if embedder.space != job.space:
        raise SpaceChanged(job.space)
    texts = [document.text[span.start : span.end] for span in passages]
    held = hold(job, sum(embedder.count_tokens(text) for text in texts))
    vectors = embed(texts, embedder, lease, progress)
    complete(job, chunks, dict(zip(passages, vectors, strict=True)), held)
