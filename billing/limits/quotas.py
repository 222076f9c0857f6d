"""Quotas: what a tenant may hold at a time (documents, bytes), and use in a month (pages read by OCR).

What is held is counted where it is kept, under a lock of the tenant that is held until the transaction ends: two uploads
at once cannot both take the last place. Nothing is counted, and nobody waits, where the plan has no such limit. A
month's use is a counter that a conditional update moves. Months are UTC, by the database's clock.
"""

from collections.abc import Callable
from datetime import date, timedelta

from django.db import connection

from tenants.errors import AtriumError
from tenants.scope import current_tenant, tenant_scope

from ..models import Limit
from .in_force import limits_in_force

#: By limit: how much of it the current tenant holds. Called inside its scope.
_counted: dict[Limit, Callable[[], int]] = {}
_LABELS = {
    Limit.DOCUMENTS: "documents in vector stores",
    Limit.STORED_BYTES: "stored bytes",
    Limit.OCR_PAGES_PER_MONTH: "pages read by OCR this month",
}
_TAKE = """
INSERT INTO billing_quotause (tenant_id, id, quota, period_start, used)
SELECT %(tenant)s, uuidv7(), %(quota)s, date_trunc('month', clock_timestamp() AT TIME ZONE 'utc')::date, %(amount)s
 WHERE %(limit)s = 0 OR %(amount)s <= %(limit)s
    ON CONFLICT (tenant_id, quota, period_start) DO UPDATE SET used = billing_quotause.used + %(amount)s
 WHERE %(limit)s = 0 OR billing_quotause.used + %(amount)s <= %(limit)s
RETURNING used
"""
_USED = """
SELECT m.start, coalesce((SELECT q.used FROM billing_quotause q
                           WHERE q.tenant_id = %s AND q.quota = %s AND q.period_start = m.start), 0)
  FROM (SELECT date_trunc('month', clock_timestamp() AT TIME ZONE 'utc')::date AS start) m
"""


class QuotaExceeded(AtriumError):
    """The plan's quota is used: trying again does not help, so the SDK is told not to."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, limit: Limit, *, most: int, used: int, needed: int, resets_at: date | None = None) -> None:
        when = f"It resets on {resets_at}; or ask" if resets_at else "Delete what you no longer need, or ask"
        super().__init__(
            f"Quota reached: {used:,} of {most:,} {_LABELS[limit]}, and this needs {needed:,} more. {when} for a "
            "higher limit.",
            data={
                "quota": {
                    "quota": limit.value,
                    "limit": most,
                    "used": used,
                    "needed": needed,
                    "resets_at": resets_at.isoformat() if resets_at else None,
                }
            },
            headers={"x-should-retry": "false"},
        )


def count_with(limit: Limit, count: Callable[[], int]) -> None:
    """Register how the app that keeps things counts them."""
    _counted[limit] = count


def require_room(limit: Limit, more: int) -> None:
    """See that the current tenant may hold `more`; inside the transaction that then writes it.

    Locks of stores and files are taken before.

    Raises:
        QuotaExceeded: it may not.
    """
    most = limits_in_force().value(limit)
    if not most or more <= 0:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{limit}:{current_tenant()}"])
    used = _counted[limit]()
    if used + more > most:
        raise QuotaExceeded(limit, most=most, used=used, needed=more)


def take_from_month(limit: Limit, amount: int) -> None:
    """Use some of a month's quota, in the caller's transaction; it is counted where there is no limit too.

    Raises:
        QuotaExceeded: there is not so much left.
    """
    most = limits_in_force().value(limit)
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute(_TAKE, {"tenant": tenant_id, "quota": limit.value, "amount": amount, "limit": most})
        taken = cursor.fetchone() is not None
    if not taken:
        raise _refusal(limit, most, amount)


def require_in_month(limit: Limit, amount: int) -> None:
    """See that so much of a month's quota is left, before work that uses it; `take_from_month` decides.

    Raises:
        QuotaExceeded: it is not.
    """
    most = limits_in_force().value(limit)
    if most and used_in_month(limit)[1] + amount > most:
        raise _refusal(limit, most, amount)


def used_in_month(limit: Limit) -> tuple[date, int]:
    """The first day of the month, and what the current tenant has used in it."""
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute(_USED, [tenant_id, limit.value])
        return cursor.fetchone()


def _refusal(limit: Limit, most: int, amount: int) -> QuotaExceeded:
    start, used = used_in_month(limit)
    return QuotaExceeded(limit, most=most, used=used, needed=amount, resets_at=_next_month(start))


def _next_month(start: date) -> date:
    return (start + timedelta(days=32)).replace(day=1)


def quotas_in_use() -> dict[Limit, tuple[int, date | None]]:
    """What the current tenant holds and has used of each quota, and when it resets."""
    with tenant_scope():
        found: dict[Limit, tuple[int, date | None]] = {limit: (count(), None) for limit, count in _counted.items()}
        start, used = used_in_month(Limit.OCR_PAGES_PER_MONTH)
    return {**found, Limit.OCR_PAGES_PER_MONTH: (used, _next_month(start))}
