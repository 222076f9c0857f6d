"""Corrections of the ledger: new rows with the differences, in the month in which they are made, that say what and why.

A line stands as it was written, so what was reported, billed and signed stays true; what is wrong with it is made good
where it is found out. The budgets of that month pay for it or, by a credit, have more room.
"""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Sum

from tenants.audit import Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.scope import tenant_scope

from .models import UsageRecord

#: What the columns hold: twelve digits on either side of the point, and a bigint.
_LARGEST = Decimal(10) ** 12
_MOST_UNITS = 2**63 - 1
_LONGEST_REASON = 200
#: What a correction has in common with the line it corrects.
_SAME = (
    "tenant_id", "reservation_id", "request_id", "attempt", "operation", "model", "meter", "price_id", "unit_price", "per",
    "provider", "currency", "key_id", "end_user", "tags", "batch",
)  # fmt: skip


def correct(
    *,
    corrects: UUID,
    quantity: int,
    cost: Decimal,
    provider_cost: Decimal | None,
    reason: str,
    by: Actor,
    now: datetime,
) -> UsageRecord:
    """Correct a line of the current tenant's ledger by the differences given; returns the row that says so.

    The row stands at `now`, in that month. Counts of allowances and tiers stay: what comes after the line was charged
    as it was, and is not charged again.

    Args:
        corrects: the line; not itself a correction (several may correct one line).
        quantity: units more than the line and its corrections have; less by a negative one, never below none in all.
        cost: what the tenant pays more, or less, in the line's currency.
        provider_cost: what the platform pays more, or less; None where that is not known.
        reason: for those who read the statement.

    Raises:
        NotFound: this tenant's ledger has no such line.
        InvalidRequest: the line is a correction, the amounts cannot be kept or change nothing, or no reason is given.
    """
    reason = reason.strip()
    _check(quantity, cost, provider_cost, reason)
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        # One at a time for a line, whose row nobody may lock.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"correct {corrects}"])
        line = _line(corrects, quantity)
        # Before the row is: accounts that are opened count the rows that are there.
        cursor.execute(
            "SELECT add_spent(%s, %s, %s, %s, %s)",
            [tenant_id, line.key_id, orjson.dumps(line.tags).decode(), now, cost],
        )
        row = UsageRecord.objects.create(
            id=uuid7(),
            **{name: getattr(line, name) for name in _SAME},
            corrects=line.id,
            quantity=quantity,
            cost=cost,
            list_cost=_list_cost(line, quantity),
            provider_cost=provider_cost,
            reason=reason,
            period_start=now.astimezone(UTC).date().replace(day=1),
            occurred_at=now,
        )
        changes = {"corrects": str(line.id), "quantity": quantity, "cost": str(cost), "reason": reason}
        record(by=by, action="usage.corrected", target=row, changes=changes)
    return row


def _check(quantity: int, cost: Decimal, provider_cost: Decimal | None, reason: str) -> None:
    for name, amount in (("cost", cost), ("provider_cost", provider_cost)):
        if amount is not None and not (amount.is_finite() and abs(amount) < _LARGEST and amount == round(amount, 12)):
            raise InvalidRequest(f"Invalid '{name}': an amount with at most 12 digits after the point.", param=name)
    if abs(quantity) > _MOST_UNITS:
        raise InvalidRequest("Invalid 'quantity': more units than can be counted.", param="quantity")
    if not (quantity or cost or provider_cost):
        raise InvalidRequest("This corrects nothing: quantity, cost and provider cost would stay.", param="cost")
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InvalidRequest(f"Say why, in 1 to {_LONGEST_REASON} characters.", param="reason")


def _line(ident: UUID, quantity: int) -> UsageRecord:
    """The line to correct by `quantity` units."""
    line = UsageRecord.objects.filter(id=ident).first()
    if line is None:
        raise NotFound(f"No usage record '{ident}'.", param="corrects")
    if line.corrects is not None:
        raise InvalidRequest(f"'{ident}' is a correction itself. Correct '{line.corrects}' again.", param="corrects")
    before = UsageRecord.objects.filter(corrects=ident).aggregate(units=Sum("quantity"))["units"] or 0
    if line.quantity + before + quantity < 0:
        raise InvalidRequest(
            f"{line.quantity + before} {line.meter} are left of this line; {-quantity} cannot be taken back.",
            param="quantity",
        )
    return line


def _list_cost(line: UsageRecord, quantity: int) -> Decimal | None:
    """What the units of difference cost at the list price that the line had."""
    if line.list_cost is None or not line.quantity:
        return None
    return round(line.list_cost * quantity / line.quantity, 12)
