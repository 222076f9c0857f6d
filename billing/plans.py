"""Plans: which one a tenant is on, and what a new tenant starts with."""

import time
from typing import Any
from uuid import UUID

from tenants.errors import InvalidRequest
from tenants.models import Tenant
from tenants.scope import current_tenant, tenant_scope

from .budgets.setting import USUAL_SHARES
from .models import Budget, Plan, Subscription

DEFAULT_PLAN = "standard"
_REMEMBER_SECONDS = 3.0
_remembered: dict[UUID, tuple[Plan, float]] = {}


def subscribe(tenant: Tenant, options: dict[str, Any]) -> None:
    """New-tenant hook: put the tenant on `options["plan"]` (the default plan's slug where missing), with its budget.

    Raises:
        InvalidRequest: no such plan.
    """
    slug = options.get("plan") or DEFAULT_PLAN
    plan = Plan.objects.filter(slug=slug).first()
    if plan is None:
        known = ", ".join(Plan.objects.order_by("slug").values_list("slug", flat=True))
        raise InvalidRequest(f"No plan '{slug}'. Known: {known}.", param="plan")
    Subscription.objects.create(tenant_id=tenant.id, plan=plan)
    if plan.content_retention_days is not None and options.get("content_retention_days") is None:
        tenant.content_retention_days = plan.content_retention_days
        tenant.save(update_fields=["content_retention_days"])
    if plan.monthly_budget is not None:
        Budget.objects.create(
            tenant_id=tenant.id,
            name="monthly",
            limit=plan.monthly_budget,
            currency=tenant.currency,
            alert_shares=list(USUAL_SHARES),
        )


def current_plan() -> Plan:
    """The current tenant's plan, remembered for a few seconds in each process."""
    tenant_id = current_tenant()
    found = _remembered.get(tenant_id)
    if found and found[1] > time.monotonic():
        return found[0]
    with tenant_scope():
        plan = Subscription.objects.select_related("plan").get().plan
    _remembered[tenant_id] = (plan, time.monotonic() + _REMEMBER_SECONDS)
    return plan
