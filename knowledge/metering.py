"""Embedding tokens: held before they are used, charged after. Both join the caller's scope."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing.models import Meter
from billing.pricing import Quote, quote
from billing.reservations import UsageLine, dispatched, reserve, settle
from tenants.ids import uuid7
from tenants.scope import current_tenant, tenant_scope


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


_REMEMBER_SECONDS = 3.0
_remembered: dict[tuple[UUID, str, str], tuple[Quote, float]] = {}


def _quote(model: str, currency: str, now: datetime) -> Quote:
    """The current tenant's price of the model's tokens, looked up every few seconds at most."""
    asked = (current_tenant(), model, currency)
    found = _remembered.get(asked)
    if found is None or found[1] < time.monotonic():
        prices = quote(needs=[(model, Meter.EMBEDDING_TOKENS.value)], currency=currency, now=now)
        found = _remembered[asked] = (prices, time.monotonic() + _REMEMBER_SECONDS)
    return found[0]


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
        prices = _quote(model, payer.currency, now)
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
