"""One hold for a document, taken when its tokens are counted, for exactly what they cost.

The hold is never marked as dispatched: a tenant pays for documents that are completed, so one whose worker died gives
its money back when the lease runs out. The parts of a long document renew it; should it run out all the same, what is
due is held anew in the moment of the charge.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from billing.reservations import extend, release
from tenants.scope import tenant_scope

from ..metering import Hold, charge, hold_tokens
from .units import Job, fenced

_SLOWEST_TOKENS_PER_SECOND = 200
_SHORTEST_HOLD = timedelta(minutes=10)


def hold(job: Job, tokens: int) -> Hold:
    """Hold what `tokens` cost; inside the scope of the caller, who writes it on the attachment."""
    lease = max(_SHORTEST_HOLD, timedelta(seconds=tokens / _SLOWEST_TOKENS_PER_SECOND))
    return hold_tokens(
        payer=job.payer, request_id=job.id, operation="ingestion", model=job.store.embedding_model, tokens=tokens,
        lease=lease, now=datetime.now(UTC), dispatching=False,
    )  # fmt: skip


def renew_hold(reservation_id: UUID) -> None:
    """The document goes on; inside a scope."""
    extend(reservation_id, lease=_SHORTEST_HOLD)


def charge_tokens(job: Job, reservation_id: UUID | None, tokens: int) -> None:
    """Charge a completed document once, at the hold it has, or at a new one; inside the scope that completes it.

    Raises:
        BudgetExhausted, BudgetHeld: the hold ran out meanwhile, and the budget no longer allows it.
    """
    model = job.store.embedding_model
    if reservation_id is None or not charge(Hold(reservation_id, model, tokens), attempt=job.claim.attempt):
        charge(hold(job, tokens), attempt=job.claim.attempt)


def release_hold(job: Job) -> None:
    """Give back what this run held, if its attachment still names it."""
    with tenant_scope():
        reservation_id = fenced(job).values_list("reservation_id", flat=True).first()
        if reservation_id is not None:
            release(reservation_id)
