"""Prometheus metrics of the hot path, by path, status and tenant-free labels (a tenant label would grow without bound)."""

import time
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

_REQUESTS = Counter("atrium_requests_total", "Requests answered.", ["path", "status"])
_SECONDS = Histogram(
    "atrium_request_seconds",
    "From the request's head to the last byte of its answer.",
    ["path"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


@dataclass
class Observed:
    """What is known of a request when it ends."""

    path: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    tenant_id: str | None = None
    generation_id: str | None = None


def observe(seen: Observed) -> None:
    """Count a request."""
    _REQUESTS.labels(seen.path, str(seen.status)).inc()
    _SECONDS.labels(seen.path).observe(time.perf_counter() - seen.started)
