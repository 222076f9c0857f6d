"""A price book as people read it: by model and meter what holds now, what is to come and what held before, with costs.

For platform staff. A margin here is of one unit at list terms: what a month earned is `billing.statements.margins`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ..models import BookPrice, Price, ProviderPrice, TenantPrice
from ..models.prices import PriceBase


@dataclass
class Dated:
    """The rows of one thing in time: what is in force, what begins later (soonest first), what was (newest first)."""

    current: Any = None
    coming: list[Any] = field(default_factory=list)
    past: list[Any] = field(default_factory=list)

    def add(self, row: PriceBase, now: datetime) -> None:
        """Rows come newest first."""
        if row.valid_from > now:
            self.coming.insert(0, row)
        elif self.current is None:
            self.current = row
        else:
            self.past.append(row)


@dataclass
class Entry:
    """A model's meter: its prices, and what providers take for it, by provider ('': any)."""

    model: str
    meter: str
    prices: Dated = field(default_factory=Dated)
    costs: dict[str, Dated] = field(default_factory=dict)

    @property
    def cost(self) -> Decimal | None:
        """What a unit costs the platform at most at present; None where nobody said."""
        current = [dated.current for dated in self.costs.values() if dated.current is not None]
        return max((each(row) for row in current), default=None)

    @property
    def margin(self) -> Decimal | None:
        """What is left of a unit's price, as a share; None where price or cost is not known, or nothing is charged."""
        if self.prices.current is None or self.cost is None or not self.prices.current.amount:
            return None
        return 1 - self.cost / each(self.prices.current)


def each(row: PriceBase) -> Decimal:
    """The price of one unit, in the first tier."""
    return row.amount / row.per


def read_book(
    *, currency: str, now: datetime, plan_id: UUID | None = None, tenant_id: UUID | None = None
) -> list[Entry]:
    """The entries of a book by model and meter: of a plan, of a tenant's contract, or of the list. Call it as staff."""
    rows: QuerySet[Any]
    if tenant_id is not None:
        rows = TenantPrice.objects.filter(tenant_id=tenant_id)
    else:
        rows = Price.objects.filter(plan=None) if plan_id is None else Price.objects.filter(plan_id=plan_id)
    entries: dict[tuple[str, str], Entry] = {}
    newest: list[BookPrice] = list(rows.filter(currency=currency).order_by("-valid_from"))
    for row in newest:
        entries.setdefault((row.model, row.meter), Entry(row.model, row.meter)).prices.add(row, now)
    is_list = plan_id is None and tenant_id is None
    for cost in ProviderPrice.objects.filter(currency=currency).order_by("-valid_from"):
        key = (cost.model, cost.meter)
        if is_list:
            # What is paid for without being sold is worth a look.
            entries.setdefault(key, Entry(*key))
        if key in entries:
            entries[key].costs.setdefault(cost.provider, Dated()).add(cost, now)
    return [entries[key] for key in sorted(entries)]


def currencies() -> list[str]:
    """Those of the list and of the providers, in order."""
    named = {
        name for model in (Price, ProviderPrice) for name in model.objects.values_list("currency", flat=True).distinct()
    }
    return sorted(named) or ["USD"]
