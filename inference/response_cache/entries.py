"""Kept answers: looked up, kept, let go."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum
from django.db.models.functions import Now

from tenants.audit import Actor, record
from tenants.models import Tenant
from tenants.scope import acting_for, tenant_scope

from ..models import CachedResponse
from ..providers.base import Completion, Usage
from .keys import Wish

#: A larger answer is not kept: it would push many others out.
MAX_ANSWER_BYTES = 256 * 1024
#: Answers that ended by themselves. One that was cut short depends on what the budget had left.
_WHOLE = frozenset({"stop", "tool_calls", "function_call"})
_TENANTS_AT_ONCE = 200


def look_up(key: bytes) -> Completion | None:
    """The answer kept under a key, with the usage of the call that made it; None where there is none."""
    with tenant_scope():
        found = CachedResponse.objects.filter(key=key, expires_at__gt=Now()).values_list("answer", flat=True).first()
    return None if found is None else Completion(found["choices"], Usage(*found["usage"]))


def keep(wish: Wish, key: bytes, choices: list[dict[str, Any]], usage: Usage) -> bool:
    """Keep an answer that ended by itself; False where it is not to be kept."""
    if any(choice.get("finish_reason") not in _WHOLE for choice in choices):
        return False
    answer = orjson.dumps({"choices": choices, "usage": _counts(usage)})
    if len(answer) > MAX_ANSWER_BYTES or b"\\u0000" in answer:
        return False
    ttl: Any = timedelta(seconds=wish.ttl_seconds)  # psycopg sends intervals, the stubs do not know
    bounds = [settings.RESPONSE_CACHE_MAX_ENTRIES, settings.RESPONSE_CACHE_MAX_BYTES]
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute(
            "SELECT keep_response(%s, %s, %s, %s, %s, %s, %s, %s)",
            [tenant_id, wish.grant_id, key, answer.decode(), len(answer), ttl, *bounds],
        )
    return True


def _counts(usage: Usage) -> list[int]:
    return [usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.reasoning_tokens]


def empty(*, by: Actor) -> int:
    """Let go of all answers of the current tenant; returns how many."""
    with tenant_scope() as tenant_id:
        gone = CachedResponse.objects.all().delete()[0]
        tenant = Tenant.objects.get(id=tenant_id)
        record(by=by, action="response_cache.emptied", target=tenant, changes={"entries": gone})
    return gone


@dataclass(frozen=True)
class Figures:
    """What a grant has in the cache."""

    entries: int
    size_bytes: int


def figures() -> dict[UUID, Figures]:
    """What the current tenant has in the cache, by grant."""
    with tenant_scope():
        rows = CachedResponse.objects.filter(expires_at__gt=Now()).values("grant_id").order_by()
        counted = rows.annotate(entries=Count("id"), size=Sum("size_bytes"))
        return {row["grant_id"]: Figures(row["entries"], row["size"]) for row in counted}


def sweep_expired(*, now: datetime) -> int:
    """Delete what has expired, tenant by tenant; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM tenants_with_expired_responses(%s, %s)", [now, _TENANTS_AT_ONCE])
        found = cursor.fetchall()
    gone = 0
    for (tenant_id,) in found:
        with acting_for(tenant_id), tenant_scope():
            gone += CachedResponse.objects.filter(expires_at__lte=now).delete()[0]
    return gone
