"""Which limits are in force for a tenant and its keys: the plan's, and of its overrides the latest that has come."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenants.api_keys import Caller
from tenants.memory import Memory
from tenants.scope import current_tenant, tenant_scope
from tenants.work import Share

from ..models import Limit, LimitOverride, Plan
from ..plans import current_plan
from .levels import Level, Rates, user_level

_REMEMBER_SECONDS = 3.0
_REQUESTS, _TOKENS, _CALLS = Limit.REQUESTS_PER_MINUTE, Limit.TOKENS_PER_MINUTE, Limit.CONCURRENT_CALLS

_OF_USERS = (Limit.USER_REQUESTS_PER_MINUTE, Limit.USER_TOKENS_PER_MINUTE, Limit.USER_CONCURRENT_CALLS)


@dataclass(frozen=True)
class Limits:
    """A tenant's limits by name, and those of single keys that differ. 0: no limit; no allowed models: all."""

    tenant: Mapping[str, Any]
    keys: Mapping[UUID, Mapping[str, Any]]

    @classmethod
    def of(cls, plan: Plan, overrides: Mapping[UUID | None, Mapping[str, Any]] | None = None) -> "Limits":
        """The plan's, with overrides by key (None: the tenant's own)."""
        found = dict(overrides or {})
        own = {limit.value: getattr(plan, limit.value) for limit in Limit} | dict(found.pop(None, {}))
        return cls(own, {key: values for key, values in found.items() if key is not None})

    def value(self, limit: Limit) -> int:
        """The tenant's."""
        return self.tenant[limit]

    def of_key(self, key_id: UUID, limit: Limit) -> int | None:
        """What is in force for one key; None where it has nothing of its own."""
        return self.keys.get(key_id, {}).get(limit)

    @property
    def share(self) -> Share:
        """Of the workers."""
        return Share(weight=max(1, self.tenant[Limit.WEIGHT]), head_start=self.tenant[Limit.PRIORITY])

    def may_call(self, model: str, key_id: UUID | None = None) -> bool:
        """Whether the tenant, and the key where one is given, may call a model of the catalogue."""
        own = self.keys.get(key_id, {}).get(Limit.ALLOWED_MODELS) if key_id else None
        allowed = self.tenant[Limit.ALLOWED_MODELS]
        return (not allowed or model in allowed) and (not own or model in own)


_remembered: Memory[UUID, Limits] = Memory(_REMEMBER_SECONDS)


def limits_in_force() -> Limits:
    """The current tenant's limits, remembered for a few seconds in each process."""
    tenant_id, started = current_tenant(), time.monotonic()
    found = _remembered.get(tenant_id)
    if found is None:
        found = _read(now=datetime.now(UTC))
        _remembered.keep(tenant_id, found, since=started)
    return found


def current_share() -> Share:
    """The current tenant's share of the workers."""
    return limits_in_force().share


def forget_limits() -> None:
    """Drop what this process remembers."""
    _remembered.clear()


def _read(*, now: datetime) -> Limits:
    plan = current_plan()
    found: dict[UUID | None, dict[str, Any]] = {}
    with tenant_scope():
        rows = LimitOverride.objects.filter(valid_from__lte=now).order_by("key_id", "limit", "-valid_from")
        for row in rows.distinct("key_id", "limit"):
            said = row.names if row.limit == Limit.ALLOWED_MODELS else row.value
            if said is not None:
                found.setdefault(row.key_id, {})[row.limit] = said
    return Limits.of(plan, found)


def levels_for(caller: Caller, limits: Limits, *, end_user: str = "") -> list[Level]:
    """The levels that a call must pass: its end user where users have limits, its key, and the tenant.

    A key's limit is its override, else what it was made with, else the tenant's. `end_user` is who the call says it is
    for; who it was signed for goes before.
    """
    own = limits.keys.get(caller.key_id, {})
    key = Rates(
        _first(own.get(_REQUESTS), caller.requests_per_minute, limits.tenant[_REQUESTS]),
        _first(own.get(_TOKENS), caller.tokens_per_minute, limits.tenant[_TOKENS]),
        _first(own.get(_CALLS), caller.concurrent_calls, limits.tenant[_CALLS]),
    )
    tenant = Rates(limits.tenant[_REQUESTS], limits.tenant[_TOKENS], limits.tenant[_CALLS])
    levels = [Level("key", caller.key_id, key), Level("tenant", caller.tenant_id, tenant)]
    named = caller.end_user or end_user
    if named and (rates := _of_users(own, limits.tenant)):
        return [user_level(named, rates), *levels]
    return levels


def _of_users(own: Mapping[str, Any], tenant: Mapping[str, Any]) -> Rates:
    """Those of each end user: the narrower of the key's and the tenant's, for a tenant sets its keys' limits itself."""
    return Rates(*(_narrower(own.get(limit, 0), tenant[limit]) for limit in _OF_USERS))


def _narrower(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
