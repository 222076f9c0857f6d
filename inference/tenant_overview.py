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
from billing.statements.margins import Margin, margins
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
SELECT DISTINCT ON (b.tenant_id) b.tenant_id, b.name, b.hard, a.spent, b."limit"
  FROM billing_budget b
  JOIN billing_budgetaccount a ON a.tenant_id = b.tenant_id AND a.budget_id = b.id
                              AND a.period_start = budget_starts(b.period, b.starts_on, %(today)s)
 WHERE b.key_id IS NULL AND b.tag_name = ''
 ORDER BY b.tenant_id, a.spent / nullif(b."limit", 0) DESC NULLS FIRST
"""


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
    calls: Calls | None = None


#: What a list may be ordered by; money with the highest first.
ORDERS = {"name": "Name", "price": "Price", "margin": "Lowest margin", "budget": "Budget used"}


def tenant_lines(*, now: datetime, status: str = "", search: str = "", order: str = "name") -> list[TenantLine]:
    """All tenants that match, without their calls (`with_calls` adds those of a page). Call it as staff.

    Args:
        status: of `Tenant.Status`, or `over` for those whose budget is used up; empty: all.
        search: a part of the name, the slug or the external id.
        order: of `ORDERS`.
    """
    month = now.date().replace(day=1)
    money = {group.of["tenant_id"]: group for group in margins(first=month, last=month, group_by=["tenant"])}
    plans = dict(Subscription.objects.values_list("tenant_id", "plan__name"))
    used = budgets_used(today=now.date())
    tenants = Tenant.objects.order_by("name", "slug")
    if status in Tenant.Status.values:
        tenants = tenants.filter(status=status)
    lines = [
        TenantLine(tenant, plans.get(tenant.id, ""), money.get(tenant.id), used.get(tenant.id))
        for tenant in tenants
        if search.casefold() in f"{tenant.name} {tenant.slug} {tenant.external_id or ''}".casefold()
    ]
    if status == "over":
        lines = [line for line in lines if line.used and line.used.percent >= 100]
    return sorted(lines, key=_KEYS[order]) if order in _KEYS else lines


_KEYS: dict[str, Any] = {
    "price": lambda line: -(line.money.revenue if line.money else Decimal(0)),
    "margin": lambda line: line.money.margin if line.money else Decimal("Infinity"),
    "budget": lambda line: -(line.used.percent if line.used else -1),
}


def with_calls(lines: Sequence[TenantLine], *, now: datetime) -> list[TenantLine]:
    """The same lines, with their calls."""
    calls = calls_of([line.tenant.id for line in lines], now=now)
    return [TenantLine(line.tenant, line.plan, line.money, line.used, calls[line.tenant.id]) for line in lines]


def calls_of(tenants: Sequence[UUID], *, now: datetime) -> dict[UUID, Calls]:
    """The newest calls of each tenant."""
    since = first_uuid7(now - CALLS_PERIOD)
    given: dict[str, Any] = {
        "tenants": list(tenants),
        "failed": Generation.State.FAILED,
        "since": since,
        "most": MOST_CALLS,
    }
    with connections["staff"].cursor() as cursor:
        cursor.execute(_CALLS, given)
        return {ident: Calls(*found) for ident, *found in cursor.fetchall()}


def budgets_used(*, today: date) -> dict[UUID, Used]:
    """By tenant; those whose budgets have seen no call in their period are absent."""
    with connections["staff"].cursor() as cursor:
        cursor.execute(_BUDGETS, {"today": today})
        return {ident: Used(*found) for ident, *found in cursor.fetchall()}
