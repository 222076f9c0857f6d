"""A key for an application, with what it may call and what it may spend, made in one go: all of it or nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.budgets.setting import set_budget
from billing.limits.in_force import forget_limits
from billing.limits.overrides import NewOverride, add_override
from billing.models import Budget, Limit
from tenants import api_keys
from tenants.audit import Actor
from tenants.errors import InvalidRequest
from tenants.models import ApiKey
from tenants.scope import tenant_scope

from .catalogue import granted_models


def issue_with_bounds(
    *,
    name: str,
    scopes: Sequence[str],
    by: Actor,
    now: datetime,
    models: Sequence[str] = (),
    monthly_budget: Decimal | None = None,
    limits: Mapping[str, Any] | None = None,
) -> tuple[ApiKey, str]:
    """Make a key for the current tenant; returns its row and the key, which exists nowhere else.

    Args:
        models: aliases of the tenant; the key may call what stands behind them (under any alias). None named: all.
        monthly_budget: in the tenant's currency; calls beyond it are refused. None: only what limits the tenant.
        limits: what else `api_keys.issue` takes.

    Raises:
        InvalidRequest: an alias that is not granted, or what `issue` and `set_budget` refuse.
    """
    with tenant_scope():
        key, secret = api_keys.issue(name=name, scopes=list(scopes), by=by, now=now, **(limits or {}))
        if models:
            names = _catalogue_names(models)
            new = NewOverride(limit=Limit.ALLOWED_MODELS, names=names, key_id=key.id, reason="set with the key")
            add_override(new, by=by, now=now)
            forget_limits()  # the answer to this request, too, is to know them
        if monthly_budget is not None:
            set_budget(
                name=f"{name[:85]} ({key.prefix})", limit=monthly_budget, key_id=key.id, period=Budget.Period.MONTH,
                hard=True, by=by,
            )  # fmt: skip
    return key, secret


def _catalogue_names(aliases: Sequence[str]) -> list[str]:
    known = {grant.alias: grant.model.name for grant in granted_models()}
    if unknown := sorted(set(aliases) - set(known)):
        raise InvalidRequest(f"Not granted: {', '.join(unknown)}.", param="models")
    return sorted({known[alias] for alias in aliases})
