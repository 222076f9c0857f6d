"""`/healthz` and `/readyz`: whether this process lives, and whether Atrium can do its work.

A restart does not cure a missing database, so the first asks for nothing; the second takes a process out of service
while a part is away. Both answer without authentication and say nothing but which part it is.
"""

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse
from psycopg_pool import PoolTimeout
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tenants import work

from .worker_heartbeat import live_workers

#: Queues without which Atrium does not do its main job.
QUEUES = (work.GENERATION, work.INGESTION)
_PROBE_SECONDS = 2.0


def healthz(request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """The database, Redis and a worker of each queue answer (200), or something is away (503)."""
    parts = readiness()
    ready = all(part == "ok" for part in parts.values())
    response = JsonResponse({"status": "ok" if ready else "unavailable", "parts": parts}, status=200 if ready else 503)
    # Being asked before one is ready is no error: Django would log each 503 as one.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def readiness() -> dict[str, str]:
    """Part → `ok`, or in a word what is wrong with it."""
    checks: dict[str, Callable[[], str]] = {"database": _database, "redis": _redis}
    checks |= {f"{queue}_worker": _worker_check(queue) for queue in QUEUES}
    return {name: check() for name, check in checks.items()}


def probe_client() -> redis.Redis:
    """A client that gives up at once: a probe that waits is a probe that failed."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_PROBE_SECONDS,
        socket_connect_timeout=_PROBE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _database() -> str:
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, PoolTimeout):
        return "away"
    return "ok"


def _redis() -> str:
    try:
        with probe_client() as client:
            client.ping()
    except RedisError:
        return "away"
    return "ok"


def _worker_check(queue: str) -> Callable[[], str]:
    def check() -> str:
        try:
            with probe_client() as client:
                return "ok" if live_workers(client, queue) else "none"
        except RedisError:
            return "unknown"

    return check
