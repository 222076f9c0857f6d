"""Home for platform staff: all tenants' calls and costs, which tenant spends and fails most, and what waits or is away."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.figures import count, duration, money, share
from billing.integrity import open_faults
from billing.periods import Period
from billing.sums import Selection, sums
from inference.call_sums import Calls, calls_by_tenant
from inference.routing.health import states
from tenants import work
from tenants.models import Tenant

from ..health import probe_client, readiness
from .overview import overview_of

_MOST = 20
_QUEUES = {
    work.GENERATION: "Calls",
    work.INGESTION: "Files to read",
    work.BATCH_LINES: "Lines of batches",
    work.WEBHOOKS: "Webhooks",
    work.REPORTS: "Reports",
    work.MAIL: "E-mails",
}


@dataclass
class _TenantSpent:
    """By currency: what a tenant is charged, and what the platform pays for that as far as it is known."""

    cost: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    paid: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


def platform_overview(period: Period) -> dict[str, Any]:
    """What the page shows."""
    return {
        "overview": overview_of(period, currency=""),
        "tenants": _tenants(period),
        "queues": [(label, work.depth(queue)) for queue, label in _QUEUES.items()],
        "faults": sum(open_faults().values()),
        "parts": {name.replace("_", " "): state for name, state in readiness().items()},
        "away": dict(_away()),
    }


def _tenants(period: Period) -> list[dict[str, Any]]:
    """The tenants that are charged most, with how their calls went."""
    spent: defaultdict[UUID, _TenantSpent] = defaultdict(_TenantSpent)
    selection = Selection(group_by=("tenant_id", "currency"))
    for _, of, figures in sums(
        within=period.within, width=None, selection=selection, figures=("cost", "provider_cost")
    ):
        spent[of["tenant_id"]].cost[of["currency"]] += figures["cost"]
        spent[of["tenant_id"]].paid[of["currency"]] += figures["provider_cost"]
    calls = calls_by_tenant(start=period.start, end=period.end)
    order = sorted({*spent, *calls}, key=lambda one: (-sum(spent[one].cost.values()), str(one)))[:_MOST]
    known = {tenant.id: tenant for tenant in Tenant.objects.filter(id__in=order)}
    return [_row(ident, known.get(ident), spent[ident], calls.get(ident, Calls())) for ident in order]


def _row(ident: UUID, tenant: Tenant | None, spent: _TenantSpent, calls: Calls) -> dict[str, Any]:
    margin = {name: amount - spent.paid[name] for name, amount in spent.cost.items()}
    return {
        "id": ident if tenant else None,
        "name": tenant.name if tenant else str(ident),
        "suspended": tenant is not None and tenant.status == Tenant.Status.SUSPENDED,
        "requests": count(calls.total),
        "errors": share(calls.error_share),
        "p95": duration(calls.seconds_at(0.95)),
        "cost": money(spent.cost),
        "provider_cost": money(spent.paid),
        "margin": money(margin),
    }


def _away() -> Counter[str]:
    """How many deployments are left alone, by state; none where Redis, which knows, is away, and that is told too."""
    with probe_client() as client:
        return Counter(known.state for known in states(client).values())
