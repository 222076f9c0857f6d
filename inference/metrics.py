"""Prometheus metrics of requests, by method, route and status; a tenant label would grow without bound.

Counted in the process that answers. Where several web processes share a port, `PROMETHEUS_MULTIPROC_DIR` names the
folder in which they keep their counts together (see `config.metrics`).
"""

import time
from dataclasses import dataclass, field
from functools import lru_cache

from prometheus_client import Counter, Histogram

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUESTS = Counter("atrium_requests_total", "Requests answered.", ["method", "route", "status"])
_SECONDS = Histogram(
    "atrium_request_seconds",
    "From the request's head to the last byte of its answer.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_CACHE = Counter("atrium_response_cache_total", "Calls that looked into the response cache.", ["result"])


@dataclass
class Observed:
    """What is known of a request when it ends. `path` is a route with its parameters named, never filled in."""

    path: str
    method: str = "POST"
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    tenant_id: str | None = None
    generation_id: str | None = None
    cache: str | None = None


def observe(seen: Observed) -> None:
    """Count a request."""
    method = seen.method if seen.method in _METHODS else "other"
    _requests(method, seen.path, seen.status).inc()
    _seconds(method, seen.path).observe(time.perf_counter() - seen.started)
    if seen.cache and seen.status == 200:
        _CACHE.labels(seen.cache).inc()


@lru_cache(maxsize=2_000)
def _requests(method: str, path: str, status: int) -> Counter:
    return _REQUESTS.labels(method, path, str(status))


@lru_cache(maxsize=1_000)
def _seconds(method: str, path: str) -> Histogram:
    return _SECONDS.labels(method, path)
