"""The rate limits on REST endpoints: every authenticated answer says where they stand, and searches take a request.

Managing things is not limited by rate; what it says costs one look in Redis, and nothing where Redis is away.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from tenants.api_keys import Caller
from tenants.authentication import caller_of
from tenants.scope import acting_for

from .in_force import levels_for, limits_in_force
from .limiter import take_now

log = structlog.get_logger("atrium.limits")


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    """This process's connections; thread-safe."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5.0, socket_connect_timeout=5.0)


class TakesRequest(BaseThrottle):
    """DRF throttle: a request to this view counts as one of the caller's requests a minute, as a call of a model does."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True.

        Raises:
            RateLimited: a level is at its limit (429 with retry-after).
            RedisError: Redis is away (503).
        """
        request._request.rate_limits = _headers(caller_of(request), requests=1)  # type: ignore[attr-defined]
        return True


def RateLimitHeaders(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:  # noqa: N802
    """Middleware: the rate-limit headers of whoever a key was accepted of."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        # Asks for the type: more would load a session's user.
        caller = getattr(request, "user", None)
        if type(caller) is Caller and "RateLimit" not in response:
            for name, value in (getattr(request, "rate_limits", None) or _looked_at(caller)).items():
                response[name] = value
        return response

    return middleware


def _looked_at(caller: Caller) -> dict[str, str]:
    try:
        return _headers(caller, requests=0)
    except (RedisError, OperationalError):
        # The answer is made; what it says does not depend on the limits.
        log.warning("limits could not be looked at", exc_info=True)
        return {}


def _headers(caller: Caller, *, requests: int) -> dict[str, str]:
    with acting_for(caller.tenant_id):
        levels = levels_for(caller, limits_in_force())
    return take_now(_redis(), tenant_id=caller.tenant_id, levels=levels, requests=requests).headers
