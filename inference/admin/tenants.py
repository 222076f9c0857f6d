"""Tenants as platform staff look at them: all of them with health and money, and each on a page of its own."""

from datetime import UTC, datetime
from typing import Any

from django.http import Http404
from django.urls import reverse

from billing.amounts import readable
from billing.models import Budget, LimitOverride, Subscription
from billing.statements.margins import Margin, margins, totals
from tenants.audit_trail import newest_of
from tenants.desk.pages import DeskPage, desk_page
from tenants.models import ApiKey, Membership, Tenant

from ..models import Grant
from ..tenant_overview import MOST_CALLS, ORDERS, Calls, TenantLine, budgets_used, calls_of, tenant_page

_STATES = {"": "All", "active": "Active", "suspended": "Suspended", "over": "Over budget"}
#: From this share of failed calls on, and from this share of a budget on, somebody should look.
_MANY_FAILED, _NEARLY_USED = 0.05, 80


def money_of(group: Margin | None) -> dict[str, str] | None:
    """What a page shows of a margin."""
    if group is None:
        return None
    share = "" if group.share is None else f"{group.share:.1%}"
    return {
        "price": f"{readable(group.revenue)} {group.currency}",
        "cost": f"{readable(group.provider_cost)} {group.currency}",
        "margin": f"{readable(group.margin)} {group.currency}",
        "share": share,
        "unmatched": f"{readable(group.unmatched)} {group.currency}" if group.unmatched else "",
        "look": "bad" if group.margin < 0 else "",
    }


def health_of(calls: Calls) -> tuple[str, str]:
    """What a badge says of a tenant's calls, and its look."""
    if not calls.seen:
        return "no calls in 24 h", ""
    seen = f"{calls.seen}{'+' if calls.seen == MOST_CALLS else ''} calls"
    if not calls.failed:
        return f"{seen}, none failed", "good"
    return f"{calls.failed_share:.0%} of {seen} failed", "bad" if calls.failed_share >= _MANY_FAILED else "warn"


def _row(line: TenantLine) -> dict[str, Any]:
    used = line.used
    look = "" if used is None else "bad" if used.percent >= 100 else "warn" if used.percent >= _NEARLY_USED else ""
    return {
        "tenant": line.tenant,
        "plan": line.plan,
        "money": money_of(line.money),
        "used": used,
        "used_look": look,
        "health": health_of(line.calls),
        "last_at": line.calls.last_at,
    }


def _number(text: str) -> int:
    """Of a page, from 1; nobody looks further than to the ten thousandth."""
    return min(max(int(text), 1), 10_000) if text.isdecimal() and len(text) < 9 else 1


@desk_page
class Tenants(DeskPage):
    """All tenants, with what needs a look."""

    name, path = "platform_tenants", "platform/tenants/"
    label, title, icon = "Tenants", "Tenants", "domain"
    template_name = "desk/tenants.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With a page of the tenants that were asked for."""
        asked = self.request.GET
        state, order = asked.get("state", ""), asked.get("order", "name")
        search, now = asked.get("q", "").strip(), datetime.now(UTC)
        page = tenant_page(now=now, status=state, search=search, order=order, number=_number(asked.get("page", "")))
        found = {
            "rows": [_row(line) for line in page.lines],
            "page": page,
            "states": _STATES,
            "orders": ORDERS,
            "asked": {"state": state, "order": order, "q": search},
            "month": now,
            "most": MOST_CALLS,
        }
        return {**super().get_context_data(**kwargs), **found}


@desk_page
class TenantOverview(DeskPage):
    """One tenant: its state, its money, its budgets, and the ways to everything of it."""

    name, path = "tenant_overview", "platform/tenants/<uuid:tenant_id>/"
    template_name = "desk/tenant.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With all of it."""
        tenant = Tenant.objects.filter(id=self.kwargs["tenant_id"]).first()
        if tenant is None:
            raise Http404
        now = datetime.now(UTC)
        calls = calls_of([tenant.id], now=now)[tenant.id]
        suspended = tenant.status == Tenant.Status.SUSPENDED
        found = {
            "title": tenant.name,
            "tenant": tenant,
            "suspended": newest_of(tenant, action="tenant.status_changed") if suspended else None,
            "subscription": Subscription.objects.select_related("plan").filter(tenant=tenant).first(),
            "calls": calls,
            "health": health_of(calls),
            "used": budgets_used([tenant.id], today=now.date()).get(tenant.id),
            "month": now,
            "counts": _counts(tenant),
            "ways": _ways(tenant),
        }
        return {**super().get_context_data(**kwargs), **found, **_month_of(tenant, now)}


def _month_of(tenant: Tenant, now: datetime) -> dict[str, Any]:
    month = now.date().replace(day=1)
    by_model = margins(first=month, last=month, group_by=["model"], tenants=[tenant.id])
    whole = next(iter(totals(by_model)), None)
    by_model.sort(key=lambda group: -group.revenue)
    models = [{"model": group.of["model"], **(money_of(group) or {})} for group in by_model]
    return {"money": money_of(whole), "models": models}


def _counts(tenant: Tenant) -> dict[str, int]:
    return {
        "Members": Membership.objects.filter(tenant=tenant).count(),
        "API keys in use": ApiKey.objects.filter(tenant=tenant, revoked_at=None).count(),
        "Granted models": Grant.objects.filter(tenant=tenant, by_tenant=False).count(),
        "Budgets": Budget.objects.filter(tenant=tenant).count(),
        "Limits of its own": LimitOverride.objects.filter(tenant=tenant).count(),
    }


#: The lists of a tenant's rows: what they are called → the list.
_LISTS = {
    "Requests": "inference_generation",
    "API keys": "tenants_apikey",
    "Members": "tenants_membership",
    "Granted models": "inference_grant",
    "Budgets": "billing_budget",
    "Limits of its own": "billing_limitoverride",
    "Contract prices": "billing_tenantprice",
    "Statements": "billing_statement",
    "Vector stores": "knowledge_vectorstore",
    "Webhooks": "tenants_webhookendpoint",
    "Audit log": "tenants_auditevent",
}


def _ways(tenant: Tenant) -> dict[str, str]:
    return {
        name: reverse(f"admin:{page}_changelist") + f"?tenant__id__exact={tenant.id}" for name, page in _LISTS.items()
    }
