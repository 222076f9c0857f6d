"""Embedding tokens: held before they are used, charged after. Both join the caller's scope."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing.models import Meter
from billing.pricing import quote
from billing.reservations import UsageLine, dispatched, reserve, settle
from tenants.ids import uuid7
from tenants.scope import tenant_scope


@dataclass(frozen=True)
class Payer:
    """Who pays: the budget of a key (None: the tenant's only), in the tenant's currency."""

    key_id: UUID | None
    currency: str


@dataclass(frozen=True)
class Hold:
    """Tokens paid for in advance."""

    reservation_id: UUID
    model: str
    tokens: int


def hold_tokens(
    *,
    payer: Payer,
    request_id: UUID,
    operation: str,
    model: str,
    tokens: int,
    lease: timedelta,
    now: datetime,
    dispatching: bool = True,
) -> Hold:
    """Hold what `tokens` cost; `dispatching` notes that the model is about to be called, which will be paid for.

    Raises:
        BudgetExhausted, BudgetHeld: a budget does not allow it.
        UnpricedModel: the model has no price.
    """
    need = (model, Meter.EMBEDDING_TOKENS.value)
    hold = Hold(uuid7(), model, tokens)
    with tenant_scope():
        prices = quote(needs=[need], currency=payer.currency, now=now)
        reserve(
            reservation_id=hold.reservation_id,
            request_id=request_id,
            key_id=payer.key_id,
            operation=operation,
            hold=prices[need].cost(tokens),
            currency=payer.currency,
            quote=prices,
            lease=lease,
        )
        if dispatching:
            dispatched(hold.reservation_id)
    return hold


def charge(hold: Hold, *, attempt: int = 1) -> bool:
    """Write the ledger's line and release the hold; once, however often it is called. False where it had ended."""
    cost = settle(hold.reservation_id, [UsageLine(hold.model, Meter.EMBEDDING_TOKENS.value, hold.tokens, attempt)])
    return cost is not None
