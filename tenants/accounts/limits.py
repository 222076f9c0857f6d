"""How often the doors of the admin may be tried: five failures per name and per address in five minutes.

Attempts on a name are counted before the password is checked, so that parallel guesses cannot slip through; a success
starts the count anew. Failures of an address are counted after: accepted is that parallel guesses at *different* names
from one address may exceed five by those under way. Codes of the second factor are counted by allauth, per person.
"""

from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django_ratelimit.core import get_usage

RATE = "5/5m"
#: Letters asked for and providers looked up, per address: whole offices share one.
LOOKUPS = "20/5m"
_WINDOW_SECONDS = 300


def _name(request: HttpRequest) -> str:
    return request.POST.get("username", "").strip().casefold()[:254]


def _successes(request: HttpRequest) -> str:
    return f"admin-login-successes:{_name(request)}"


def attempt_allowed(request: HttpRequest) -> bool:
    """Count an attempt on this name; False where the name or the address has had its failures.

    Raises:
        RedisError: the counters are away.
    """
    by_name = _usage(request, "admin.login.name", _name_and_successes, increment=True)
    by_address = _usage(request, "admin.login.address", "ip", increment=False)
    return by_name["count"] <= by_name["limit"] and by_address["count"] < by_address["limit"]


def _name_and_successes(group: str, request: HttpRequest) -> str:
    return f"{_name(request)} {cache.get(_successes(request), 0)}"


def note_failure(request: HttpRequest) -> None:
    """Count a failure of this address."""
    _usage(request, "admin.login.address", "ip", increment=True)


def note_success(request: HttpRequest) -> None:
    """Start this name's count anew."""
    cache.add(_successes(request), 0, 2 * _WINDOW_SECONDS)
    cache.incr(_successes(request))


def reset_allowed(request: HttpRequest) -> bool:
    """Count a letter asked for; False where this e-mail or this address had too many.

    Raises:
        RedisError: the counters are away.
    """
    typed = request.POST.get("email", "").strip().casefold()[:254]
    by_name = _usage(request, "admin.reset.name", lambda group, request: typed, increment=True)
    by_address = _usage(request, "admin.reset.address", "ip", increment=True, rate=LOOKUPS)
    return not by_name["should_limit"] and not by_address["should_limit"]


def lookup_allowed(request: HttpRequest) -> bool:
    """Count a search for somebody's sign-on provider; False where this address had too many.

    Raises:
        RedisError: the counters are away.
    """
    return not _usage(request, "admin.sso.address", "ip", increment=True, rate=LOOKUPS)["should_limit"]


def _usage(request: HttpRequest, group: str, key: Any, *, increment: bool, rate: str = RATE) -> dict[str, Any]:
    return get_usage(request, group=group, key=key, rate=rate, increment=increment)
