"""How often the rarely used doors may be tried: django-ratelimit over the Redis cache.

The data plane has its own limits (`billing.limits`). Here stand the doors where trying often means guessing or a
runaway script: platform keys, and making keys. If Redis is away they answer 503, as everything that needs it does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_ratelimit.core import get_usage
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from .errors import AtriumError

#: Wrong platform keys from one address.
GUESSES = "20/m"
#: Keys made by one tenant.
KEYS = "30/m"
#: Webhook endpoints tried out by one tenant: each test waits for a server of its own.
WEBHOOK_TESTS = "10/m"


class TooManyAttempts(AtriumError):
    """The door was tried too often: come back when the window has passed."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, usage: dict[str, Any], what: str) -> None:
        seconds = max(1, usage["time_left"])
        super().__init__(
            f"Too many {what}: {usage['limit']} a minute. Try again in {seconds}s.",
            data={"limit": {"kind": what, "limit": usage["limit"], "retry_after_ms": seconds * 1000}},
            headers={"retry-after": str(seconds)},
        )


def _usage(request: Request, *, group: str, key: Any, rate: str, increment: bool) -> dict[str, Any]:
    return get_usage(request, group=group, key=key, rate=rate, increment=increment)


@contextmanager
def guessing_is_slow(request: Request) -> Iterator[None]:
    """Count what fails to authenticate inside, by address; refuse before looking where there were too many.

    The address is the connection's: behind a proxy, the server in front of Django must set it from the proxy's header.

    Raises:
        TooManyAttempts: too many failures from this address.
    """
    usage = _usage(request, group="platform-key", key="ip", rate=GUESSES, increment=False)
    if usage["count"] >= usage["limit"]:
        raise TooManyAttempts(usage, "wrong keys from this address")
    try:
        yield
    except AtriumError as error:
        if error.status == 401:
            _usage(request, group="platform-key", key="ip", rate=GUESSES, increment=True)
        raise


class KeyIssueThrottle(BaseThrottle):
    """Limits how many keys a tenant makes."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or TooManyAttempts; other methods than POST are free."""
        if request.method == "POST":
            tenant = str(request.user.tenant_id)  # type: ignore[union-attr]
            usage = _usage(request, group="key-issue", key=lambda group, request: tenant, rate=KEYS, increment=True)
            if usage["should_limit"]:
                raise TooManyAttempts(usage, "new keys")
        return True


class WebhookTestThrottle(BaseThrottle):
    """Limits how often a tenant tries its webhook endpoints out."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or TooManyAttempts."""
        tenant = str(request.user.tenant_id)  # type: ignore[union-attr]
        key = lambda group, request: tenant  # noqa: E731
        usage = _usage(request, group="webhook-test", key=key, rate=WEBHOOK_TESTS, increment=True)
        if usage["should_limit"]:
            raise TooManyAttempts(usage, "tests of webhook endpoints")
        return True
