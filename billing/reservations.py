"""Reserve before spending, settle once: the Python side of `sql/reserving.sql` and `sql/settling.sql`.

Both are one round trip inside the caller's scope, so a caller can share the transaction with the rows that the money
is for. Overspending is impossible: the hold is taken by a conditional update on every budget above the caller.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError, connection
from django.db.models.functions import Greatest, Now

from tenants.errors import AtriumError
from tenants.scope import acting_for, tenant_scope

from .amounts import plain as plain
from .budgets.quotas import NO_QUOTAS, quotas_of
from .budgets.refusals import BudgetExhausted as BudgetExhausted
from .budgets.refusals import BudgetHeld as BudgetHeld
from .budgets.refusals import budget_error
from .budgets.refusals import budget_refusal as budget_refusal
from .models import Reservation
from .prices import Quote

logger = logging.getLogger(__name__)


class HoldGone(AtriumError):
    """The reservation ended before its call was made, by its lease, by another attempt or with its parent."""

    status = 503
    type = "server_error"
    code = "hold_gone"


@dataclass(frozen=True)
class UsageLine:
    """What one attempt used: `quantity` units of `meter` on `model`.

    `priced_as` is the meter whose price the line has where its own has none; `estimated`: the provider did not count;
    `provider`: who bills the platform for it.
    """

    model: str
    meter: str
    quantity: int
    attempt: int = 1
    priced_as: str = ""
    estimated: bool = False
    provider: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `settle_spend`, without what does not apply."""
        line: dict[str, Any] = {
            "model": self.model,
            "meter": self.meter,
            "quantity": self.quantity,
            "attempt": self.attempt,
        }
        if self.priced_as:
            line["priced_as"] = self.priced_as
        if self.provider:
            line["provider"] = self.provider
        return {**line, "estimated": True} if self.estimated else line


def lines_json(lines: Iterable[UsageLine]) -> str:
    """Usage lines as `settle_spend` reads them; empty ones are left out."""
    return orjson.dumps([line.as_json() for line in lines if line.quantity]).decode()


#: The newest quotes as JSON, by identity: a process remembers its terms, and with them their quotes, for seconds.
_rendered: dict[int, tuple[Quote, str]] = {}
_MOST_RENDERED = 1_000


def prices_json(quote: Quote) -> str:
    """A quote as `reserve_spend` keeps it."""
    found = _rendered.get(id(quote))
    if found is None or found[0] is not quote:
        if len(_rendered) >= _MOST_RENDERED:
            _rendered.clear()
        text = orjson.dumps([price.as_json() for price in quote.values()]).decode()
        found = _rendered[id(quote)] = (quote, text)
    return found[1]


def reserve(
    *,
    reservation_id: UUID,
    request_id: UUID,
    key_id: UUID | None,
    operation: str,
    hold: Decimal,
    currency: str,
    quote: Quote,
    lease: timedelta,
    hold_min: Decimal | None = None,
    end_user: str = "",
    tokens: int = 0,
) -> Decimal:
    """Hold `hold` (at least `hold_min`; all of it by default) on every budget above the caller; returns the hold.

    Its tags are those of its key. `tokens`: the most that it may use, held on the month's quotas of key and tenant.

    Raises:
        BudgetExhausted: a budget is spent, or a quota used up (429, not to be retried).
        BudgetHeld: a budget or quota is held by calls under way (429, retry).
    """
    with tenant_scope() as tenant_id:
        quotas = quotas_of(key_id) if tokens else NO_QUOTAS
        return _hold(
            "SELECT reserve_spend(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, NULL, false, %s, %s, %s, %s)",
            [
                tenant_id, reservation_id, request_id, key_id, operation, end_user,
                hold if hold_min is None else hold_min, hold, currency, prices_json(quote), lease, tokens, tokens,
                quotas.key, quotas.tenant,
            ],
        )  # fmt: skip


def reserve_child(
    parent_id: UUID,
    *,
    reservation_id: UUID,
    operation: str,
    hold: Decimal,
    quote: Quote,
    lease: timedelta,
    hold_min: Decimal | None = None,
) -> Decimal:
    """Hold `hold` (at least `hold_min`; all of it by default) more for a call under way; returns the hold.

    For what a call turns out to need after its admission: it is paid by the budgets that pay for the call, settled or
    released by its own id, and ended with its parent at the latest: released, or charged as unknown if dispatched. Its
    lines have the request of the parent, so their attempts must be others than the parent's.

    Raises:
        BudgetExhausted, BudgetHeld: as `reserve`.
        HoldGone: the parent has ended, or is a child itself.
    """
    with tenant_scope() as tenant_id:
        return _hold(
            "SELECT reserve_child(%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                tenant_id, reservation_id, parent_id, operation, hold if hold_min is None else hold_min, hold,
                prices_json(quote), lease,
            ],
        )  # fmt: skip


def _hold(statement: str, parameters: list[Any]) -> Decimal:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return Decimal(cursor.fetchone()[0])
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == "AT410":
            raise HoldGone("The call has ended; nothing more can be held for it.") from error
        refusal = budget_error(error)
        if refusal is None:
            raise
        raise refusal from error


def dispatched(reservation_id: UUID) -> None:
    """Note that a provider is about to be called: should the worker die now, the call counts as made.

    Raises:
        HoldGone: the hold was released meanwhile; the call must not be made.
    """
    with tenant_scope():
        held = Reservation.objects.filter(id=reservation_id, state=Reservation.State.OPEN)
        if not held.update(dispatched_at=Now()):
            raise HoldGone("The call waited so long that its hold on the budget has ended. Try again.")


def settle(reservation_id: UUID, lines: Sequence[UsageLine]) -> Decimal | None:
    """Write the ledger, charge the budgets, release the rest; returns the cost, None where it was settled before."""
    return _end(reservation_id, Reservation.State.SETTLED, lines_json(lines))


def release(reservation_id: UUID) -> None:
    """Give the hold back: nothing was used."""
    _end(reservation_id, Reservation.State.RELEASED, "[]")


def extend(reservation_id: UUID, *, lease: timedelta) -> None:
    """Let an open hold last for `lease` from now, unless it lasts longer anyway."""
    until = Greatest("expires_at", Now() + lease)
    with tenant_scope():
        Reservation.objects.filter(id=reservation_id, state=Reservation.State.OPEN).update(expires_at=until)


def charge_unknown(reservation_id: UUID) -> None:
    """The worker died after dispatch: charge the hold and mark it for reconciliation with the provider's bill."""
    _end(reservation_id, Reservation.State.UNKNOWN, "[]")


def _end(reservation_id: UUID, state: str, lines: str) -> Decimal | None:
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute("SELECT settle_spend(%s, %s, %s, %s)", [tenant_id, reservation_id, state, lines])
        return cursor.fetchone()[0]


def settle_expired(*, limit: int = 100) -> int:
    """End reservations whose lease ran out: never dispatched, released; dispatched, charged as unknown.

    Returns how many it ended. One that cannot be ended is logged and does not keep the others waiting.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM expired_reservations(%s)", [limit])
        found = cursor.fetchall()
    ended = 0
    for tenant_id, reservation_id in found:
        with acting_for(tenant_id):
            try:
                ended += _end(reservation_id, "expired", "[]") is not None
            except DatabaseError:
                logger.exception("reservation %s of tenant %s cannot be ended", reservation_id, tenant_id)
    return ended
