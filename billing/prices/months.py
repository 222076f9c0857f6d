"""What units cost where a tenant's month has come to: after what is left of allowances, in the tier that it has reached.

For estimates: what is charged is counted when it is settled (`count_units`), by the same rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from tenants.scope import tenant_scope

from ..models import UnitCounts
from .quotes import UnitPrice


@dataclass
class Month:
    """Units used so far, as `UnitCounts.units` has them; `cost` moves them on."""

    units: dict[str, int] = field(default_factory=dict)

    def cost(self, price: UnitPrice, quantity: int) -> Decimal:
        """What the next `quantity` units cost, rounded to 12 digits as a line of the ledger is."""
        charged = quantity - self._included(price, quantity)
        if not price.tiers:
            return round(price.amount * charged / price.per, 12)
        key = f"{price.model} {price.meter}"
        before = self.units.get(key, 0)
        self.units[key] = before + charged
        return round(_graduated([(0, price.amount), *price.tiers], before, charged) / price.per, 12)

    def _included(self, price: UnitPrice, quantity: int) -> int:
        if price.allowance is None:
            return 0
        key = str(price.allowance.id)
        used = self.units.get(key, 0)
        included = max(0, min(quantity, price.allowance.quantity - used))
        self.units[key] = used + included
        return included


def _graduated(tiers: Sequence[tuple[int, Decimal]], before: int, units: int) -> Decimal:
    """What `units` after the first `before` cost, times `per`: each unit at the amount of the tier in which it lies."""
    ends = [since for since, _ in tiers[1:]] + [before + units]
    return sum(
        (
            max(0, min(until, before + units) - max(since, before)) * amount
            for (since, amount), until in zip(tiers, ends, strict=True)
        ),
        Decimal(0),
    )


def this_month(now: datetime) -> Month:
    """The current tenant's month (UTC) as it stands."""
    with tenant_scope():
        rows = UnitCounts.objects.filter(period_start=now.astimezone(UTC).date().replace(day=1))
        found = rows.values_list("units", flat=True).first()
    return Month(dict(found or {}))
