"""A claim becomes a job or a part, under its fence; and what becomes of a claim whose worker died."""

from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Subquery

from billing.reservations import release
from tenants import work
from tenants.models import Tenant, Work
from tenants.scope import tenant_scope
from tenants.work import Claim

from ..chunking import Span
from ..metering import Payer
from ..models import Document, IngestionPart, VectorStoreFile
from .endings import DIED, MAX_ATTEMPTS, RUNS_ALONE, SERVER_ERROR, fail_document, give_up
from .units import ENDED, Job, Part, State, twins

_DIED_TOO_OFTEN = f"The worker died on this file {MAX_ATTEMPTS} times."


class Suspect(Exception):
    """The unit ran when its worker died: begin it again where nothing runs beside it."""


def begin(claim: Claim, *, alone: bool = False) -> Job | Part | None:
    """Take the fence; None where nothing is to be done.

    Raises:
        Suspect: the unit has to run alone, and `alone` does not say that it does; nothing was written.
    """
    with tenant_scope():
        unit = _begin(claim, alone)
        if unit is not None and alone:
            Work.objects.filter(id=claim.id, attempt=claim.attempt).update(reason=RUNS_ALONE)
        return unit


def _begin(claim: Claim, alone: bool) -> Job | Part | None:
    attachment = _attachment_with_surroundings(claim)
    if attachment is None:
        return _begin_part(claim, alone)
    if attachment.state in ENDED:
        work.finish(claim)
        return None
    if attachment.suspect and not alone:  # type: ignore[attr-defined]
        raise Suspect
    if attachment.reservation_id is not None and not attachment.has_parts:  # type: ignore[attr-defined]
        release(attachment.reservation_id)
        attachment.reservation_id = None
    if attachment.attempts >= MAX_ATTEMPTS:
        give_up(claim, attachment, f"Ingestion failed {MAX_ATTEMPTS} times. {attachment.error_message}".strip())
        return None
    return _begin_job(claim, attachment, alone)


def _is_suspect() -> Exists:
    return Exists(Work.objects.filter(id=OuterRef("id"), reason__in=(DIED, RUNS_ALONE)))


def _attachment_with_surroundings(claim: Claim) -> VectorStoreFile | None:
    """The attachment, locked, with all that a run wants to know, in one round trip."""
    parts = IngestionPart.objects.filter(store_file=OuterRef("id"))
    same = twins(
        sha256=OuterRef("file__sha256"),
        mime_type=OuterRef("file__mime_type"),
        chunking=OuterRef("chunking"),
        space=OuterRef("store__space"),
        preparation=OuterRef("store__preparation"),
    )
    rows = VectorStoreFile.objects.select_for_update(of=("self",)).select_related("store__space", "file")
    return (
        rows.filter(id=claim.id)
        .annotate(
            has_twin=Exists(same),
            has_document=Exists(Document.objects.filter(file=OuterRef("file"))),
            has_parts=Exists(parts),
            suspect=_is_suspect(),
            currency=Subquery(Tenant.objects.filter(id=OuterRef("tenant_id")).values("currency")),
        )
        .first()
    )


def _begin_job(claim: Claim, attachment: VectorStoreFile, alone: bool) -> Job:
    attachment.attempts += 1
    attachment.claim = claim.attempt
    if not attachment.has_parts:  # type: ignore[attr-defined]
        attachment.state, attachment.percent = State.PARSING, 0
    attachment.save(update_fields=["attempts", "claim", "state", "percent", "reservation_id"])
    return Job(
        claim=claim,
        store=attachment.store,
        file=attachment.file,
        chunking=attachment.chunking,
        payer=Payer(attachment.key_id, attachment.currency),  # type: ignore[attr-defined]
        attempts=attachment.attempts,
        percent=attachment.percent,
        has_twin=attachment.has_twin,  # type: ignore[attr-defined]
        has_document=attachment.has_document,  # type: ignore[attr-defined]
        has_parts=attachment.has_parts,  # type: ignore[attr-defined]
        older=_older(attachment),
        alone=alone,
    )


def _older(attachment: VectorStoreFile) -> list[UUID]:
    """Attachments whose vectors may serve this one: the version that it replaces, and others of the same file."""
    replaced = [attachment.replaces_id] if attachment.replaces_id else []
    if not attachment.has_document:  # type: ignore[attr-defined]
        return replaced
    same = VectorStoreFile.objects.filter(file=attachment.file_id, store__space=attachment.store.space_id)
    return replaced + list(same.filter(state=State.COMPLETED).exclude(id=attachment.id).values_list("id", flat=True))


def _begin_part(claim: Claim, alone: bool) -> Part | None:
    rows = IngestionPart.objects.select_related("store_file__store__space", "store_file__file")
    row = rows.filter(id=claim.id).annotate(suspect=_is_suspect()).first()
    if row is None or row.done:
        work.finish(claim)
        return None
    # Deaths in a row are the document's: while there are any, its other parts may have been the cause as well.
    if (row.suspect or row.store_file.attempts) and not alone:
        raise Suspect
    if row.attempts >= MAX_ATTEMPTS:
        message = f"Ingestion failed {MAX_ATTEMPTS} times."
        fail_document(claim, row.store_file_id, SERVER_ERROR, message, dead=True)
        return None
    IngestionPart.objects.filter(id=row.id).update(attempts=row.attempts + 1, claim=claim.attempt)
    return Part(
        claim=claim,
        attachment_id=row.store_file_id,
        store=row.store_file.store,
        file=row.store_file.file,
        kind=row.kind,
        first=row.first,
        last=row.last,
        passages=[(Span(start, end, tokens), text) for start, end, tokens, text in row.passages],
        attempts=row.attempts + 1,
        alone=alone,
    )


def recover(claim: Claim) -> None:
    """Decide about a unit whose worker died: again, and alone then, or, after the last attempt, failed and dead-lettered.

    A death beside others counts as an attempt too, since it may have been its doing, but nothing is given up for it:
    what ran beside a killer is charged one attempt and no more. What had not begun is charged nothing.
    """
    with tenant_scope():
        part = IngestionPart.objects.filter(id=claim.id).only("attempts", "claim", "store_file_id").first()
        attachment_id = claim.id if part is None else part.store_file_id
        attachment = VectorStoreFile.objects.select_for_update().filter(id=attachment_id).first()
        reason = Work.objects.filter(id=claim.id).values_list("reason", flat=True).first() or ""
        if attachment is None:
            work.finish(claim)
        elif (part or attachment).claim != claim.attempt:
            work.retry(claim, delay=timedelta(), reason=reason)
        elif part is not None:
            _recover_part(claim, part, attachment, alone=reason == RUNS_ALONE)
        else:
            _recover_document(claim, attachment, alone=reason == RUNS_ALONE)


def _recover_document(claim: Claim, attachment: VectorStoreFile, *, alone: bool) -> None:
    if alone and attachment.attempts >= MAX_ATTEMPTS:
        give_up(claim, attachment, _DIED_TOO_OFTEN)
    elif work.retry(claim, delay=timedelta(), reason=DIED):
        attachment.attempts = min(attachment.attempts, MAX_ATTEMPTS - 1)
        attachment.save(update_fields=["attempts"])


def _recover_part(claim: Claim, part: IngestionPart, attachment: VectorStoreFile, *, alone: bool) -> None:
    """A document whose every part kills its worker must not kill five for each: deaths in a row count for all.

    The parts that died beside each other count once.
    """
    deaths = attachment.attempts + 1 if alone else max(1, attachment.attempts)
    if alone and max(part.attempts, deaths) >= MAX_ATTEMPTS:
        fail_document(claim, attachment.id, SERVER_ERROR, _DIED_TOO_OFTEN, dead=True)
    elif work.retry(claim, delay=timedelta(), reason=DIED):
        attachment.attempts = deaths
        attachment.save(update_fields=["attempts"])
        IngestionPart.objects.filter(id=part.id).update(attempts=min(part.attempts, MAX_ATTEMPTS - 1))
