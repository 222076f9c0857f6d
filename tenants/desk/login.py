"""Log-in to the admin: by e-mail address or user name, five failures per name and per address in five minutes.

Attempts on a name are counted before the password is checked, so that parallel guesses cannot slip through; a success
starts the count anew. Failures of an address are counted after: accepted is that parallel guesses at *different* names
from one address may exceed five by those under way.
"""

from typing import Any

from django.contrib.auth.forms import UsernameField
from django.contrib.auth.models import AbstractBaseUser
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from unfold.forms import AuthenticationForm

from ..models import User

RATE = "5/5m"
_WINDOW_SECONDS = 300


class LoginForm(AuthenticationForm):
    """Whether somebody who logs in may see anything is the middleware's to say, not `is_staff`'s."""

    username = UsernameField(label="E-mail or user name", max_length=254)
    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "That e-mail address (or user name) and password do not belong together.",
    }

    def clean_username(self) -> str:
        """The user name behind an e-mail address; anything else as it is."""
        text = self.cleaned_data["username"].strip()
        if "@" not in text:
            return text
        return User.objects.filter(email__iexact=text).values_list("username", flat=True).first() or text

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """Refuse users taken out of service."""
        if not user.is_active:
            raise ValidationError(self.error_messages["inactive"], code="inactive")


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


def _usage(request: HttpRequest, group: str, key: Any, *, increment: bool) -> dict[str, int]:
    return get_usage(request, group=group, key=key, rate=RATE, increment=increment)
