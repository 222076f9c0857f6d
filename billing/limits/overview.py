"""A tenant's limits beside what is used of them, for people to look at."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.db.models import Q
from redis.backoff import NoBackoff
from redis.retry import Retry

from tenants.models import ApiKey
from tenants.scope import tenant_scope

from ..figures import count
from ..models import Limit, LimitOverride, TokenAccount
from .in_force import Limits, limits_in_force
from .levels import Level, Rates
from .limiter import in_use
from .quotas import quotas_in_use

_RATES = (Limit.REQUESTS_PER_MINUTE, Limit.TOKENS_PER_MINUTE, Limit.CONCURRENT_CALLS)
_OF_USERS = (Limit.USER_REQUESTS_PER_MINUTE, Limit.USER_TOKENS_PER_MINUTE, Limit.USER_CONCURRENT_CALLS)
_OVER_TIME = (Limit.TOKENS_PER_MONTH, Limit.DOCUMENTS, Limit.STORED_BYTES, Limit.OCR_PAGES_PER_MONTH)
_MOST_KEYS = 100


@dataclass(frozen=True)
class LimitUse:
    """A limit in force (0: none), and what is used of it; None where that is not known or of each end user apart."""

    limit: Limit
    value: int
    used: int | None


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    """This process's connections; thread-safe. A page does not wait long for them, nor tries again."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )


def limit_uses(*, now: datetime, of_this_minute: bool) -> list[LimitUse]:
    """The current tenant's limits, what counts by the minute first.

    Raises:
        RedisError: Redis, which counts by the minute, is away.
    """
    limits = limits_in_force()
    used: dict[Limit, int] = {limit: found for limit, (found, _) in quotas_in_use().items()}
    if limits.value(Limit.TOKENS_PER_MONTH):  # else nobody counts them here
        used[Limit.TOKENS_PER_MONTH] = _tokens_of_month(now)
    if of_this_minute:
        used |= _of_this_minute(limits)
    return [LimitUse(limit, limits.value(limit), used.get(limit)) for limit in (*_RATES, *_OVER_TIME, *_OF_USERS)]


def _of_this_minute(limits: Limits) -> dict[Limit, int]:
    rates = Rates(*(limits.value(limit) for limit in _RATES))
    with tenant_scope() as tenant_id:
        [now] = in_use(_redis(), tenant_id=tenant_id, levels=[Level("tenant", tenant_id, rates)])
    counted = dict(zip(_RATES, now, strict=True))
    return {limit: number for limit, number in counted.items() if limits.value(limit)}


def _tokens_of_month(now: datetime) -> int:
    """Settled, and held by calls under way."""
    with tenant_scope():
        rows = TokenAccount.objects.filter(key_id=None, period_start=now.date().replace(day=1))
        return sum(used + held for used, held in rows.values_list("used", "held"))


def keys_with_limits() -> list[dict[str, Any]]:
    """API keys in force that have limits of their own, by name."""
    with tenant_scope():
        overridden = set(LimitOverride.objects.exclude(key_id=None).values_list("key_id", flat=True))
        own = Q(requests_per_minute__isnull=False) | Q(tokens_per_minute__isnull=False)
        own |= Q(concurrent_calls__isnull=False) | Q(id__in=overridden)
        keys = list(ApiKey.objects.filter(own, revoked_at=None).order_by("name")[:_MOST_KEYS])
    limits = limits_in_force()
    return [{"key": key, "limits": _of_key(key, limits)} for key in keys]


def _of_key(key: ApiKey, limits: Limits) -> list[str]:
    """Requests, tokens and calls, and tokens a month."""
    made_with = {
        Limit.REQUESTS_PER_MINUTE: key.requests_per_minute,
        Limit.TOKENS_PER_MINUTE: key.tokens_per_minute,
        Limit.CONCURRENT_CALLS: key.concurrent_calls,
    }
    found = []
    for limit in (*_RATES, Limit.TOKENS_PER_MONTH):
        override = limits.of_key(key.id, limit)
        found.append(made_with.get(limit) if override is None else override)
    return ["as above" if value is None else count(value) if value else "no limit" for value in found]
