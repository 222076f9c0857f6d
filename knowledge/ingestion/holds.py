"""One hold for a document, taken when its tokens are counted, for exactly what they and its scanned pages cost.

The hold is never marked as dispatched: a tenant pays for documents that are completed, so one whose worker died gives
its money back when the lease runs out. The parts of a long document renew it; should it run out all the same, what is
due is held anew in the moment of the charge.

Pages that were recognised are charged once for a file's content, however many stores it is in, and where they have a
price: a line by itself, in the transaction in which the hold that covers it ends.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from billing.charging import charge_spend
from billing.prices.services import OCR, service_price
from billing.reservations import UsageLine, extend, release
from tenants.scope import tenant_scope

from ..metering import Hold, charge, hold_tokens
from .units import Job, fenced

_SLOWEST_TOKENS_PER_SECOND = 200
_SHORTEST_HOLD = timedelta(minutes=10)


def hold(job: Job, tokens: int, *, ocr_pages: int) -> Hold:
    """Hold what `tokens` and recognised pages cost; inside the scope of the caller, who writes it on the attachment."""
    lease = max(_SHORTEST_HOLD, timedelta(seconds=tokens / _SLOWEST_TOKENS_PER_SECOND))
    now = datetime.now(UTC)
    price = service_price(OCR, currency=job.payer.currency, now=now)
    return hold_tokens(
        payer=job.payer, request_id=job.id, operation="ingestion", model=job.store.embedding_model, tokens=tokens,
        lease=lease, now=now, dispatching=False, beside=price.cost(ocr_pages) if price else Decimal(0),
    )  # fmt: skip


def renew_hold(reservation_id: UUID) -> None:
    """The document goes on; inside a scope."""
    extend(reservation_id, lease=_SHORTEST_HOLD)


def charge_document(job: Job, reservation_id: UUID | None, tokens: int, *, ocr_pages: int) -> None:
    """Charge a completed document once, at the hold it has, or at a new one; inside the scope that completes it.

    Raises:
        BudgetExhausted, BudgetHeld: the hold ran out meanwhile, and the budget no longer allows it.
    """
    model = job.store.embedding_model
    if reservation_id is None or not charge(Hold(reservation_id, model, tokens), attempt=job.claim.attempt):
        charge(hold(job, tokens, ocr_pages=ocr_pages), attempt=job.claim.attempt)
    _charge_pages(job, ocr_pages)


def _charge_pages(job: Job, pages: int) -> None:
    now = datetime.now(UTC)
    price = service_price(OCR, currency=job.payer.currency, now=now)
    if price is None or not pages:
        return
    charge_spend(
        request_id=job.file.stored_id, operation="ingestion", lines=[UsageLine(*OCR, pages)], quote={OCR: price},
        currency=job.payer.currency, key_id=job.payer.key_id, at=now,
    )  # fmt: skip


def release_hold(job: Job) -> None:
    """Give back what this run held, if its attachment still names it."""
    with tenant_scope():
        reservation_id = fenced(job).values_list("reservation_id", flat=True).first()
        if reservation_id is not None:
            release(reservation_id)
