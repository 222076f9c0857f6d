"""The edge of the REST API: from a key to a caller, and from a caller to the current tenant.

Verified keys are remembered for `API_KEY_CACHE_SECONDS` in each process, so that a request costs no look-up and a
revoked key is refused everywhere within that time.
"""

import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from .api_keys import Caller, InvalidKey, note_use, parse_key, verify, verify_platform_key
from .end_users import END_USER_HEADER, forget_secrets, with_end_user
from .errors import AtriumError, PermissionDenied
from .memory import Memory
from .models import PlatformKey
from .permissions import FINANCE
from .scope import acting_for, enter_tenant
from .throttling import guessing_is_slow

_NOTE_USE_SECONDS = 60.0
_MOST_NOTED = 10_000

_verified: Memory[bytes, Caller] = Memory(settings.API_KEY_CACHE_SECONDS)
_noted: dict[Any, float] = {}


def bearer(header: str | None) -> str:
    """The key of an Authorization header.

    Raises:
        InvalidKey: there is none.
    """
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise InvalidKey("You didn't provide an API key. Send it as 'Authorization: Bearer <key>'.")
    return text.strip()


def remembered(text: str) -> Caller | None:
    """The caller behind a key verified a moment ago, without asking the database; None where it must be verified."""
    caller = _verified.get(sha256(text.encode()).digest())
    if caller is None or (caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)):
        return None
    return caller


def should_verify_again(text: str) -> bool:
    """Whether a remembered key is nearly forgotten; who verifies it now spares the next request the wait."""
    return _verified.due(sha256(text.encode()).digest())


def authenticate_key(text: str) -> Caller:
    """The caller behind a key, remembered or looked up.

    Raises:
        InvalidKey: malformed, wrong, expired or revoked.
        TenantSuspended: the key's tenant is out of service.
    """
    return remembered(text) or verify_key(text)


def verify_key(text: str) -> Caller:
    """The caller behind a key, looked up; raises as `authenticate_key` does, and then the key is not remembered."""
    digest, started = sha256(text.encode()).digest(), time.monotonic()
    try:
        caller = _verified_now(text, started)
    except AtriumError:
        _verified.drop(digest)
        raise
    _verified.keep(digest, caller, since=started)
    return caller


def _verified_now(text: str, started: float) -> Caller:
    parsed = parse_key(text)
    with acting_for(parsed.tenant_id):
        caller = verify(parsed, now=datetime.now(UTC))
        if started - _noted.get(caller.key_id, -_NOTE_USE_SECONDS) >= _NOTE_USE_SECONDS:
            note_use(key_id=caller.key_id, now=datetime.now(UTC))
            if len(_noted) >= _MOST_NOTED:
                _noted.clear()
            _noted[caller.key_id] = started
    return caller


def forget_verified_keys() -> None:
    """Drop what this process remembers; the process that revokes a key or a signing secret refuses it at once."""
    _verified.clear()
    forget_secrets()


class ApiKeyAuthentication(BaseAuthentication):
    """DRF authentication by API key, and by an end-user token where there is one; sets the request's current tenant."""

    def authenticate(self, request: Request) -> tuple[Caller, str]:
        """(caller, key prefix).

        Raises:
            InvalidKey: no key or a bad one (401).
            InvalidEndUserToken: a bad token beside it (401).
        """
        caller = authenticate_key(bearer(request.headers.get("Authorization")))
        token = request.headers.get(END_USER_HEADER)
        if token is not None:
            caller = with_end_user(caller, token, now=datetime.now(UTC))
        enter_tenant(caller.tenant_id)
        return caller, caller.key_prefix

    def authenticate_header(self, request: Request) -> str:
        """Makes DRF answer 401, not 403."""
        return "Bearer"


def caller_of(request: Request) -> Caller:
    """The caller of a request that `ApiKeyAuthentication` let in."""
    return cast(Caller, request.user)


class HasKeyScope(BasePermission):
    """The key holds the scope that the view names for the method: `scopes = {"GET": "files.read", …}`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or PermissionDenied naming the scope."""
        needed = getattr(view, "scopes", {}).get(request.method)
        if needed is None or needed not in request.user.scopes:  # type: ignore[union-attr]
            if request.method not in getattr(view, "scopes", {}):
                return True  # DRF answers 405
            raise PermissionDenied(f"This API key lacks the scope '{needed}'. Ask for a key that has it.")
        return True


class PlatformKeyAuthentication(BaseAuthentication):
    """DRF authentication by platform key, for `/v1/platform/…`."""

    def authenticate(self, request: Request) -> tuple[PlatformKey, str]:
        """(platform key, its prefix).

        Raises:
            InvalidKey: no key or a bad one (401).
            TooManyAttempts: too many bad ones from this address (429).
        """
        with guessing_is_slow(request):
            key = verify_platform_key(bearer(request.headers.get("Authorization")), now=datetime.now(UTC))
        key.is_authenticated = True  # type: ignore[attr-defined]
        return key, key.prefix

    def authenticate_header(self, request: Request) -> str:
        """Makes DRF answer 401, not 403."""
        return "Bearer"


class IfPlatformKey(PlatformKeyAuthentication):
    """DRF authentication by platform key where one is sent; other keys are left to the authenticator after it."""

    def authenticate(self, request: Request) -> tuple[PlatformKey, str] | None:  # type: ignore[override]
        """As `PlatformKeyAuthentication`; None where the key is none of the platform's."""
        _, _, text = request.headers.get("Authorization", "").partition(" ")
        return super().authenticate(request) if text.strip().startswith("pk-") else None


class HasPlatformScope(BasePermission):
    """The platform key holds the scope of the view: `platform_scope`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or PermissionDenied naming the scope."""
        needed = view.platform_scope
        if needed not in request.user.scopes:  # type: ignore[union-attr]
            raise PermissionDenied(f"This platform key lacks the scope '{needed}'. Ask for a key that has it.")
        return True


class MayRead(HasKeyScope):
    """For views that both read: the platform's key needs the scope `finance`, a tenant's what the view names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or PermissionDenied naming the scope."""
        if not isinstance(request.user, PlatformKey):
            return super().has_permission(request, view)
        if FINANCE not in request.user.scopes:
            raise PermissionDenied(f"This platform key lacks the scope '{FINANCE}'. Ask for a key that has it.")
        return True
