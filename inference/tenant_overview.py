"""Every tenant as platform staff look at it: plan, price, cost and margin of the month, budgets, and how its calls do.

Money comes from the ledger's sums. Calls are told from the newest `MOST_CALLS` of each tenant that is shown, found by
the order of their ids, so that no list scans what a busy tenant did in a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections

from billing.models import Subscription
from billing.rollups import steadily
from billing.statements.margins import Margin, margins
from billing.statements.months import following, start_of
from tenants.ids import first_uuid7
from tenants.models import Tenant

from .models import Generation

MOST_CALLS = 200
CALLS_PERIOD = timedelta(hours=24)

_CALLS = """
SELECT t.id, l.at, n.calls, n.failed
  FROM unnest(%(tenants)s::uuid[]) AS t (id)
  LEFT JOIN LATERAL (SELECT g.created_at AS at FROM inference_generation g
                      WHERE g.tenant_id = t.id ORDER BY g.id DESC LIMIT 1) l ON true
  LEFT JOIN LATERAL (SELECT count(*) AS calls, count(*) FILTER (WHERE c.state = %(failed)s) AS failed
                       FROM (SELECT g.state FROM inference_generation g WHERE g.tenant_id = t.id AND g.id >= %(since)s
                              ORDER BY g.id DESC LIMIT %(most)s) c) n ON true
"""
#: Of the budgets that are above all of a tenant's calls, the one that is used most.
_BUDGETS = """
SELECT DISTINCT ON (b.tenant_id) b.tenant_id, b.name, b.hard, a.spent, b."limit",
       coalesce(a.spent / nullif(b."limit", 0), 1) AS used
  FROM billing_budget b
  JOIN billing_budgetaccount a ON a.tenant_id = b.tenant_id AND a.budget_id = b.id
                              AND a.period_start = budget_starts(b.period, b.starts_on, %(today)s)
 WHERE b.key_id IS NULL AND b.tag_name = '' AND (%(tenants)s::uuid[] IS NULL OR b.tenant_id = ANY (%(tenants)s::uuid[]))
 ORDER BY b.tenant_id, used DESC
"""
#: What each tenant is charged and costs: the sums by day, and the ledger's lines above them.
_MONEY = """
SELECT u.tenant_id, sum(u.cost) AS revenue, sum(u.cost) - coalesce(sum(u.provider_cost), 0) AS margin
  FROM (SELECT tenant_id, cost, provider_cost FROM billing_usageday WHERE start >= %(since)s AND start < %(until)s
         UNION ALL
        SELECT tenant_id, cost, provider_cost FROM billing_usagerecord
         WHERE xact >= %(up_to)s AND occurred_at >= %(since)s AND occurred_at < %(until)s) u
 GROUP BY u.tenant_id
"""
_PAGE = """
SELECT t.id
  FROM tenants_tenant t {joins}
 WHERE (%(status)s = '' OR t.status = %(status)s)
   AND position(lower(%(search)s) IN lower(concat_ws(' ', t.name, t.slug, t.external_id))) > 0 {over}
 ORDER BY {order} t.name, t.slug
 LIMIT %(limit)s OFFSET %(offset)s
"""
A_PAGE = 50


@dataclass(frozen=True)
class Calls:
    """A tenant's newest calls: when the last came in, how many of the last day were looked at, how many failed."""

    last_at: datetime | None
    seen: int
    failed: int

    @property
    def failed_share(self) -> float:
        """0 to 1."""
        return self.failed / self.seen if self.seen else 0.0


@dataclass(frozen=True)
class Used:
    """The budget over all of a tenant's calls that is used most."""

    name: str
    hard: bool
    spent: Decimal
    limit: Decimal

    @property
    def percent(self) -> int:
        """Of the limit; a limit of nothing is used up."""
        return int(self.spent * 100 / self.limit) if self.limit else 100


@dataclass(frozen=True)
class TenantLine:
    """A tenant as the list shows it. `money` is None where nothing was used in the month."""

    tenant: Tenant
    plan: str
    money: Margin | None
    used: Used | None
    calls: Calls


@dataclass(frozen=True)
class TenantPage:
    """A page of the list, from 1, and whether another follows."""

    lines: list[TenantLine]
    number: int
    has_next: bool


#: What a list may be ordered by; money with the highest first.
ORDERS = {"name": "Name", "price": "Price", "margin": "Lowest margin", "budget": "Budget used"}
#: The same in SQL. Amounts are compared as they are, whatever their currency.
_ORDERS = {
    "price": "m.revenue DESC NULLS LAST,",
    "margin": "m.margin NULLS LAST,",
    "budget": "u.used DESC NULLS LAST,",
}


def tenant_page(
    *, now: datetime, status: str = "", search: str = "", order: str = "name", number: int = 1
) -> TenantPage:
    """A page of the tenants that match; found, ordered and cut by the database. Call it as staff.

    Args:
        status: of `Tenant.Status`, or `over` for those whose budget is used up; anything else: all.
        search: a part of the name, the slug or the external id.
        order: of `ORDERS`.
    """
    found = _found(now, status, search, order, number)
    lines = _lines(found[:A_PAGE], now)
    return TenantPage(lines, number, len(found) > A_PAGE)


def _found(now: datetime, status: str, search: str, order: str, number: int) -> list[UUID]:
    """The ids of a page, and one more where another page follows."""
    money, budgets = order in ("price", "margin"), order == "budget" or status == "over"
    joins = f"LEFT JOIN ({_MONEY}) m ON m.tenant_id = t.id" if money else ""
    joins += f" LEFT JOIN ({_BUDGETS}) u ON u.tenant_id = t.id" if budgets else ""
    over = "AND u.used >= 1" if status == "over" else ""
    first = now.date().replace(day=1)
    given = {
        "status": status if status in Tenant.Status.values else "",
        "search": search,
        "since": start_of(first),
        "until": start_of(following(first)),
        "today": now.date(),
        "tenants": None,
        "limit": A_PAGE + 1,
        "offset": (number - 1) * A_PAGE,
    }
    page = _PAGE.format(joins=joins, over=over, order=_ORDERS.get(order, ""))
    return steadily(lambda up_to: [ident for (ident,) in _rows(page, {**given, "up_to": up_to})])


def _lines(idents: Sequence[UUID], now: datetime) -> list[TenantLine]:
    month = now.date().replace(day=1)
    groups = margins(first=month, last=month, group_by=["tenant"], tenants=idents)
    money = {group.of["tenant_id"]: group for group in groups}
    plans = dict(Subscription.objects.filter(tenant_id__in=idents).values_list("tenant_id", "plan__name"))
    used, calls = budgets_used(idents, today=now.date()), calls_of(idents, now=now)
    tenants = Tenant.objects.in_bulk(idents)
    return [
        TenantLine(tenants[one], plans.get(one, ""), money.get(one), used.get(one), calls[one])
        for one in idents
        if one in tenants
    ]


def _rows(statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections["staff"].cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchall()


def calls_of(tenants: Sequence[UUID], *, now: datetime) -> dict[UUID, Calls]:
    """The newest calls of each tenant."""
    since = first_uuid7(now - CALLS_PERIOD)
    given = {"tenants": list(tenants), "failed": Generation.State.FAILED, "since": since, "most": MOST_CALLS}
    return {ident: Calls(*found) for ident, *found in _rows(_CALLS, given)}


def budgets_used(tenants: Sequence[UUID], *, today: date) -> dict[UUID, Used]:
    """By tenant; those whose budgets have seen no call in their period are absent."""
    rows = _rows(_BUDGETS, {"today": today, "tenants": list(tenants)})
    return {ident: Used(*found) for ident, *found, _ in rows}
