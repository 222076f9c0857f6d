"""How deployments did of late: calls, failures and latencies, from the newest attempts of every tenant. For staff.

Bounded, however busy the platform is: of each tenant the newest `MOST_OF_A_TENANT` attempts of the time are read, by
the order of their ids, which is that of time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connections

from tenants.ids import first_uuid7

from .taxonomy import Category

MOST_OF_A_TENANT = 500
#: What a deployment, or the way to it, is to blame for; a client's mistakes and refused contents are not.
_FAULTS = [Category.CREDENTIALS, Category.CAPACITY, Category.UPSTREAM, Category.NETWORK, Category.TIMEOUT]

_SQL = """
SELECT a.deployment_id, count(*), count(*) FILTER (WHERE a.category = ANY (%(faults)s)),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY a.latency_ms) FILTER (WHERE a.code = ''),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY a.ttft_ms) FILTER (WHERE a.code = ''),
       max(a.started_at)
  FROM tenants_tenant t CROSS JOIN LATERAL (
       SELECT * FROM inference_inferenceattempt i WHERE i.tenant_id = t.id AND i.id >= %(since)s
        ORDER BY i.id DESC LIMIT %(most)s) a
 WHERE a.deployment_id IS NOT NULL GROUP BY a.deployment_id
"""


@dataclass(frozen=True)
class Health:
    """What became of a deployment's attempts. Latencies in ms, of answers, whole and to the first token."""

    calls: int
    faults: int
    p50: float | None
    p95: float | None
    first_p50: float | None
    first_p95: float | None
    last_at: datetime

    @property
    def fault_share(self) -> float:
        """0 to 1."""
        return self.faults / self.calls


def health_of_deployments(*, now: datetime, period: timedelta) -> dict[UUID, Health]:
    """By deployment, the tenants' own among them; those without an attempt in the period are absent."""
    since = first_uuid7(now - period)
    with connections["staff"].cursor() as cursor:
        cursor.execute(_SQL, {"faults": [str(one) for one in _FAULTS], "since": since, "most": MOST_OF_A_TENANT})
        rows = cursor.fetchall()
    return {
        ident: Health(calls, faults, *_both(whole), *_both(first), last)
        for ident, calls, faults, whole, first, last in rows
    }


def _both(percentiles: list[float] | None) -> tuple[float | None, float | None]:
    """None where nothing was answered."""
    return (percentiles[0], percentiles[1]) if percentiles else (None, None)
