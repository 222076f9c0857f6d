"""Plans: which one a tenant is on, and what a new tenant starts with."""

import time
from decimal import Decimal
from typing import Any
from uuid import UUID

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest
from tenants.models import ApiKey, Tenant
from tenants.scope import current_tenant, tenant_scope

from .models import Budget, Plan, Subscription

DEFAULT_PLAN = "standard"
_LARGEST = Decimal(10) ** 12
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
    if plan.monthly_budget is not None:
        Budget.objects.create(tenant_id=tenant.id, name="monthly", limit=plan.monthly_budget, currency=tenant.currency)


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


class BudgetConflict(AtriumError):
    """The name belongs to a budget of another key, or of the whole tenant."""

    status = 409
    type = "invalid_request_error"
    code = "budget_conflict"


def set_budget(
    *, name: str, limit: Decimal, by: Actor, currency: str | None = None, key_id: UUID | None = None
) -> Budget:
    """Create or change the current tenant's budget of this name.

    Args:
        limit: per calendar month (UTC), in the tenant's currency.
        currency: what the caller takes that to be; refused where it is another.
        key_id: the one key that it limits; all of the tenant's where missing.

    Raises:
        InvalidRequest: an amount that cannot be kept, another currency than the tenant's, or no such key.
        BudgetConflict: the name belongs to a budget of something else.
    """
    if not limit.is_finite() or not 0 <= limit < _LARGEST or limit != round(limit, 12):
        raise InvalidRequest("Invalid 'limit': an amount from 0 with at most 12 digits after the point.", param="limit")
    with tenant_scope() as tenant_id:
        own = Tenant.objects.get(id=tenant_id).currency
        if currency not in (None, own):
            raise InvalidRequest(f"This tenant is not billed in {currency}.", param="currency")
        if key_id is not None and not ApiKey.objects.filter(id=key_id).exists():
            raise InvalidRequest("No such API key.", param="api_key_id")
        budget, created = Budget.objects.select_for_update().get_or_create(
            tenant_id=tenant_id, name=name, defaults={"key_id": key_id, "currency": own, "limit": limit}
        )
        if budget.key_id != key_id:
            raise BudgetConflict(f"Budget '{name}' limits something else. Use another name.", param="name")
        before, budget.limit = budget.limit, limit
        budget.save(update_fields=["limit"])
        changes = {"limit": [None if created else str(before), str(limit)]}
        record(by=by, action="budget.set", target=budget, changes=changes)
    return budget
