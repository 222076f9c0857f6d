"""Whose word a session rests on. The session keeps its backend's name, and what the session opens follows from it.

Only a password (and a second factor) speaks for the person everywhere. A tenant's identity provider may assert anybody's
e-mail address, so its session is good for a seat in that tenant alone: see `tenants.accounts.entrance`.
"""

from uuid import UUID

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from ..models import User


class PasswordBackend(AuthenticationBackend):
    """A password, asked for by the log-in page."""


class ProviderBackend(BaseBackend):
    """A tenant's identity provider. It authenticates nobody by itself: `single_sign_on.login` does, with a proof."""

    def get_user(self, user_id: UUID) -> User | None:
        """The person, as nobody's staff: no provider of a tenant speaks for the platform."""
        user = User.objects.filter(pk=user_id, is_active=True).first()
        if user is not None:
            user.is_superuser = user.is_staff = False
        return user


PASSWORD = f"{PasswordBackend.__module__}.{PasswordBackend.__qualname__}"
PROVIDER = f"{ProviderBackend.__module__}.{ProviderBackend.__qualname__}"


def by_password(request: HttpRequest) -> bool:
    """Whether the session rests on a password; any other kind has to say what it is good for."""
    return request.session.get(BACKEND_SESSION_KEY) == PASSWORD
