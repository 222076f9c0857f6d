"""What the platform earns: tenants' prices against providers' costs, over all tenants. For staff and platform keys.

Read from the sums by day and the ledger's lines above them, so it is exact at any moment. Corrections and credit notes
count in the month in which they were made. Where nobody said what a provider takes the margin is not known: that part
of the revenue is told beside it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncMonth

from tenants.errors import InvalidRequest
from tenants.models import Tenant
from tenants.scope import as_staff

from ..models import UsageDay, UsageRecord
from ..rollups import steadily
from .months import following, format_month, start_of

#: What can be told apart → the column.
DIMENSIONS = {"tenant": "tenant_id", "model": "model", "meter": "meter", "provider": "provider", "month": "month"}
_MOST_MONTHS = 60
_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Margin:
    """One group: `of` holds its dimensions; amounts are in `currency`.

    `unmatched` is the part of the revenue whose provider cost is not known; `margin` takes it for free of cost.
    """

    of: dict[str, Any]
    currency: str
    revenue: Decimal
    provider_cost: Decimal
    unmatched: Decimal

    @property
    def margin(self) -> Decimal:
        """What is left of the revenue."""
        return self.revenue - self.provider_cost

    @property
    def share(self) -> Decimal | None:
        """It as a share of the revenue, in four digits; None where there is none."""
        return round(self.margin / self.revenue, 4) if self.revenue else None


def margins(
    *, first: date, last: date, group_by: Sequence[str], tenants: Collection[UUID] | None = None
) -> list[Margin]:
    """Groups of the months from `first` to `last`, both included, in order; keys of `DIMENSIONS`.

    Args:
        tenants: of these alone.

    Raises:
        InvalidRequest: months in the wrong order, or more than five years of them.
        ServiceUnavailable: the sums moved while they were read.
    """
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if not 0 < months <= _MOST_MONTHS:
        raise InvalidRequest(f"Ask for 1 to {_MOST_MONTHS} months, the first one first.", param="end_month")
    with as_staff():
        found = steadily(lambda up_to: _read(first, last, group_by, up_to, tenants))
        named = Tenant.objects.all() if tenants is None else Tenant.objects.filter(id__in=tenants)
        slugs = dict(named.values_list("id", "slug")) if "tenant" in group_by else {}
    groups = [_margin(key, sums, group_by, slugs) for key, sums in found.items()]
    return sorted(groups, key=lambda group: [str(value) for value in (*group.of.values(), group.currency)])


def _read(
    first: date, last: date, group_by: Collection[str], up_to: int, tenants: Collection[UUID] | None
) -> dict[tuple[Any, ...], list[Decimal]]:
    """(currency, each dimension) → revenue, provider cost, revenue without one: of the sums and of the lines above."""
    since, until = start_of(first), start_of(following(last))
    unknown = Sum("cost", filter=Q(provider_cost=None))
    both: list[tuple[QuerySet[Any], str, Any]] = [
        (UsageDay.objects.filter(start__gte=since, start__lt=until), "start", Sum("unmatched_cost")),
        (UsageRecord.objects.filter(xact__gte=up_to, occurred_at__gte=since, occurred_at__lt=until), "occurred_at", unknown),
    ]  # fmt: skip
    names = ["currency", *(DIMENSIONS[name] for name in group_by)]
    found: dict[tuple[Any, ...], list[Decimal]] = {}
    for rows, moment, unmatched in both:
        rows = rows if tenants is None else rows.filter(tenant_id__in=tenants)
        months = rows.annotate(month=TruncMonth(moment, tzinfo=UTC)) if "month" in group_by else rows
        sums = {
            "revenue": Sum("cost"),
            "paid": Coalesce(Sum("provider_cost"), _NOTHING),
            "free": Coalesce(unmatched, _NOTHING),
        }
        for *key, revenue, paid, free in months.order_by().values_list(*names).annotate(**sums):
            so_far = found.setdefault(tuple(key), [_NOTHING] * 3)
            found[tuple(key)] = [one + more for one, more in zip(so_far, (revenue, paid, free), strict=True)]
    return found


def _margin(key: tuple[Any, ...], sums: list[Decimal], group_by: Sequence[str], slugs: dict[UUID, str]) -> Margin:
    of = dict(zip(group_by, key[1:], strict=True))
    if "tenant" in of:
        # An erased tenant's name is gone, its ledger is not.
        of = {
            "tenant_id": of["tenant"],
            "tenant": slugs.get(of["tenant"]),
            **{n: v for n, v in of.items() if n != "tenant"},
        }
    if "month" in of:
        of["month"] = format_month(of["month"].date())
    return Margin(of, key[0], *sums)


def margin_rows(groups: Sequence[Margin]) -> Iterator[list[Any]]:
    """A table: a head, the groups, and a total for each currency that is the exact sum of the rows above."""
    names = list(groups[0].of) if groups else []
    yield [*names, "currency", "revenue", "provider_cost", "margin", "margin_share", "unmatched_revenue"]
    for group in groups:
        yield [*(str(group.of[name] or "") for name in names), *_figures(group)]
    for total in totals(groups):
        yield [*["total", *[""] * len(names)][: len(names)], *_figures(total)]


def _figures(group: Margin) -> list[Any]:
    return [group.currency, group.revenue, group.provider_cost, group.margin, group.share, group.unmatched]


def totals(groups: Sequence[Margin]) -> list[Margin]:
    """All groups of a currency together."""
    sums: dict[str, list[Decimal]] = {}
    for group in groups:
        so_far = sums.get(group.currency, [_NOTHING] * 3)
        more = (group.revenue, group.provider_cost, group.unmatched)
        sums[group.currency] = [one + another for one, another in zip(so_far, more, strict=True)]
    return [Margin({}, currency, *found) for currency, found in sorted(sums.items())]
