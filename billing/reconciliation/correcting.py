"""What an approved bill corrects, planned with the approval and posted once, each row in its tenant's own scope.

Two things are made good. *What units cost the platform*, where the bill proves another price than the one that was known
(or that none was): the difference goes to the tenants by their units; what they pay stays. *Calls whose workers died*,
which were charged at their holds: they share what the provider billed for the day beyond the ledger, by what they were
charged; each tenant then pays that at the prices it had, never more than the hold, and nothing where nothing was billed.
Units that nobody metered are nobody's: they are shown, and charged to no tenant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from tenants.audit import Actor
from tenants.errors import AtriumError
from tenants.scope import acting_for, as_staff, tenant_scope

from ..corrections import correct
from ..models import BillCorrection, ProviderBill
from .bills import get_bill
from .comparing import TOLERANCE, Comparison, MeterDay, compare, expected_cost
from .ledger import Share, Unknown

log = structlog.get_logger("atrium.billing")
_DIGITS = 12
_AT_ONCE = 1_000
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Planned:
    """A correction of one line of a tenant's ledger, by its differences."""

    tenant_id: UUID
    line_id: UUID
    model: str
    day: date
    quantity: int
    cost: Decimal
    provider_cost: Decimal
    reason: str


def plan(comparison: Comparison) -> list[Planned]:
    """What approving the bill would post."""
    return [*_prices(comparison), *_died(comparison)]


def approve(*, bill_id: UUID | None, by: Actor, now: datetime) -> ProviderBill:
    """Plan the corrections of a bill, once; a worker posts them (`post`). Approving again changes nothing.

    Raises:
        NotFound: there is no such bill.
    """
    bill = get_bill(bill_id)
    with as_staff(), transaction.atomic(using="staff"):
        rows = ProviderBill.objects.filter(id=bill.id, state=ProviderBill.State.IMPORTED)
        claimed = rows.update(state=ProviderBill.State.APPROVED, approved_by=f"{by.type} {by.id}", approved_at=now)
        if claimed:
            wanted = [BillCorrection(bill_id=bill.id, **vars(one)) for one in plan(compare(bill))]
            BillCorrection.objects.bulk_create(wanted, batch_size=_AT_ONCE)
    return get_bill(bill.id)


def post(*, limit: int = 200, now: datetime) -> int:
    """Post what was approved and is not posted yet; returns how many rows were looked at. Can run beside itself."""
    found = _rows("SELECT tenant_id, id, approved_by FROM due_bill_corrections(%s)", [limit])
    for tenant_id, ident, approved_by in found:
        kind, _, who = approved_by.partition(" ")
        with acting_for(tenant_id):
            _post(ident, by=Actor(kind, who), now=now)
    if len(found) < limit:
        _rows("SELECT end_posted_bills()::text", [])
    return len(found)


def _rows(query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    """By the app role, through pinned functions: workers have no credentials of the staff's."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def _post(ident: UUID, *, by: Actor, now: datetime) -> None:
    """The correction and the note that it was made are one transaction."""
    with tenant_scope():
        row = BillCorrection.objects.select_for_update().filter(id=ident, posted_id=None, refusal="").first()
        if row is None:
            return
        try:
            with transaction.atomic():
                made = correct(
                    corrects=row.line_id, quantity=row.quantity, cost=row.cost, provider_cost=row.provider_cost,
                    reason=row.reason, by=by, now=now,
                )  # fmt: skip
        except AtriumError as error:  # the line was corrected by somebody meanwhile; the others are posted all the same
            row.refusal = error.message[:300]
            log.warning("a correction by a bill was refused", correction_id=str(row.id), reason=row.refusal)
        else:
            row.posted_id = made.id
        row.save(update_fields=["posted_id", "refusal"])


# what units cost the platform ----------------------------------------------------------------------------------------


def _prices(comparison: Comparison) -> Iterator[Planned]:
    wrong = [place for place in comparison.places if _is_correctable(place)]
    shares = comparison.ledger.shares() if wrong else {}
    by_place: dict[tuple[str, str, date], list[Share]] = {}
    for (model, meter, day), parts in shares.items():
        by_place.setdefault((model, comparison.billed_as(model, meter), day), []).extend(parts)
    for place in wrong:
        parts = by_place.get((place.model, place.meter, place.day), [])
        yield from _by_units(comparison, place, parts)


def _is_correctable(place: MeterDay) -> bool:
    """The bill has a price for the units, all of which were charged in its currency, and it is not the known one."""
    if not place.billed_units or not place.metered.units or place.metered.foreign:
        return False
    return abs(expected_cost(place) - place.metered.cost) > TOLERANCE


def _by_units(comparison: Comparison, place: MeterDay, parts: list[Share]) -> Iterator[Planned]:
    whole = expected_cost(place) - place.metered.cost
    reason = f"{comparison.bill.provider}'s bill for {place.day}: what the units cost"
    amounts = _shared(whole, [Decimal(part.units) for part in parts])
    for part, amount in zip(parts, amounts, strict=True):
        if amount:
            yield Planned(part.tenant_id, part.line_id, place.model, place.day, 0, _ZERO, amount, reason)


def _shared(whole: Decimal, weights: list[Decimal]) -> list[Decimal]:
    """`whole` in parts by weight, each rounded once, whose sum is `whole`; in equal ones where nothing weighs."""
    total = sum(weights, _ZERO)
    weights = weights if total else [Decimal(1)] * len(weights)
    total = total or Decimal(len(weights))
    parts, left = [], whole
    for place, weight in enumerate(weights, 1):
        part = left if place == len(weights) else round(whole * weight / total, _DIGITS)
        parts.append(part)
        left -= part
    return parts


# calls whose workers died --------------------------------------------------------------------------------------------


def _died(comparison: Comparison) -> Iterator[Planned]:
    tenants = {call.tenant_id for calls in comparison.unknown.values() for call in calls if not call.corrected}
    prices = comparison.ledger.unit_prices(sorted(tenants))
    for (model, day), calls in comparison.unknown.items():
        surplus = {
            place.meter: (place.surplus, place.billed_cost / place.billed_units)
            for place in comparison.places
            if (place.model, place.day) == (model, day) and place.surplus > 0 and "unreconciled" in place.reasons
        }
        total = sum((call.charged for call in calls), _ZERO)
        for call in calls:
            if not call.corrected:
                share = call.charged / total if total else 1 / Decimal(len(calls))
                yield from _one_that_died(comparison, model, day, call, share, surplus, prices)


def _one_that_died(
    comparison: Comparison,
    model: str,
    day: date,
    call: Unknown,
    share: Decimal,
    surplus: dict[str, tuple[int, Decimal]],
    prices: dict[tuple[UUID, str, str], Decimal],
) -> Iterator[Planned]:
    billed = round(sum((units * share * each for units, each in surplus.values()), _ZERO), _DIGITS)
    known = [prices.get((call.tenant_id, model, meter)) for meter in surplus]
    owed = call.charged
    if all(price is not None for price in known):
        by_price = zip(surplus.values(), known, strict=True)
        owed = min(owed, round(sum((units * share * (price or 0) for (units, _), price in by_price), _ZERO), _DIGITS))
    quantity = 0 if surplus else -1
    change = Planned(
        call.tenant_id, call.line_id, model, day, quantity, owed - call.charged, billed - call.provider_cost,
        f"{comparison.bill.provider}'s bill for {day}: what the call that broke off used",
    )  # fmt: skip
    if change.quantity or change.cost or change.provider_cost:
        yield change
