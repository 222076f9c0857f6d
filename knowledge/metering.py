"""Tokens that models read and write for knowledge: held before they are used, charged after, in the caller's scope."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from billing.budgets.quotas import TOKEN_METERS
from billing.models import Meter
from billing.prices import Quote, quote
from billing.prices.services import SEARCH
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
    """Tokens paid for in advance, and a search where searches have a price."""

    reservation_id: UUID
    model: str
    tokens: int
    searches: int = 0


_REMEMBER_SECONDS = 3.0
Need = tuple[str, str]
_remembered: dict[tuple[UUID, tuple[Need, ...], str], tuple[Quote, float]] = {}


def _quote(needs: tuple[Need, ...], currency: str, now: datetime) -> Quote:
    """The current tenant's prices of (model, meter), and that of a search if it has one; looked up every few seconds at
    most."""
    asked = (current_tenant(), needs, currency)
    found = _remembered.get(asked)
    if found is None or found[1] < time.monotonic():
        prices = quote(needs=needs, wishes=[SEARCH], currency=currency, now=now)
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
    beside: Decimal = Decimal(0),
) -> Hold:
    """Hold what `tokens` cost; `dispatching` notes that the model is about to be called, which will be paid for.

    `beside` is held with it: for what is charged by itself when the hold ends.

    Raises:
        BudgetExhausted, BudgetHeld: a budget does not allow it.
        UnpricedModel: the model has no price.
    """
    most = {(model, Meter.EMBEDDING_TOKENS.value): tokens}
    prices = _quote(tuple(most), payer.currency, now)
    return Hold(_hold(payer, request_id, operation, prices, most, lease, dispatching, beside), model, tokens)


def hold_text(
    *,
    payer: Payer,
    request_id: UUID,
    operation: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    lease: timedelta,
    now: datetime,
) -> UUID:
    """Hold the most that a text model, which is about to be called, may cost; returns the reservation.

    Raises: as `hold_tokens`.
    """
    most = {(model, Meter.INPUT_TOKENS.value): input_tokens, (model, Meter.OUTPUT_TOKENS.value): output_tokens}
    prices = _quote(tuple(most), payer.currency, now)
    return _hold(payer, request_id, operation, prices, most, lease, dispatching=True)


def hold_search(
    *, payer: Payer, request_id: UUID, operation: str, model: str, tokens: int, lease: timedelta, now: datetime
) -> Hold | None:
    """Hold what a search costs: its own price, where it has one, and the tokens that `model` is about to read for it.
    None where it costs nothing.

    Raises: as `hold_tokens`.
    """
    most = {(model, Meter.EMBEDDING_TOKENS.value): tokens} if tokens else {}
    prices = _quote(tuple(most), payer.currency, now)
    searches = int(SEARCH in prices)
    if not (tokens or searches):
        return None
    most |= {SEARCH: searches} if searches else {}
    reservation_id = _hold(payer, request_id, operation, prices, most, lease, dispatching=bool(tokens))
    return Hold(reservation_id, model, tokens, searches)


def _hold(
    payer: Payer,
    request_id: UUID,
    operation: str,
    prices: Quote,
    most: Mapping[Need, int],
    lease: timedelta,
    dispatching: bool,
    beside: Decimal = Decimal(0),
) -> UUID:
    """Reserve what `most`, units by model and meter, costs, and `beside`."""
    reservation_id = uuid7()
    with tenant_scope():
        reserve(
            reservation_id=reservation_id,
            request_id=request_id,
            key_id=payer.key_id,
            operation=operation,
            hold=sum((prices[need].cost(units) for need, units in most.items()), beside),
            currency=payer.currency,
            quote=prices,
            lease=lease,
            tokens=sum(units for (_, meter), units in most.items() if meter in TOKEN_METERS),
        )
        if dispatching:
            dispatched(reservation_id)
    return reservation_id


def charge(hold: Hold, *, attempt: int = 1) -> bool:
    """Write the ledger's lines and release the hold; once, however often it is called. False where it had ended."""
    lines = [
        UsageLine(hold.model, Meter.EMBEDDING_TOKENS.value, hold.tokens, attempt),
        # An attempt of its own: an attempt has one model.
        UsageLine(*SEARCH, hold.searches, attempt + 1),
    ]
    return settle(hold.reservation_id, lines) is not None


def charge_text(reservation_id: UUID, *, model: str, input_tokens: int, output_tokens: int) -> None:
    """Write the ledger's lines of what a text model used, and release the rest of the hold; once."""
    used = {Meter.INPUT_TOKENS.value: input_tokens, Meter.OUTPUT_TOKENS.value: output_tokens}
    settle(reservation_id, [UsageLine(model, meter, tokens) for meter, tokens in used.items()])
