"""What stands between a session and a tenant's desk: who vouches for it, and the second factor where the tenant asks.

Asked at every request, so that what an owner or the person changes counts from the next click, for sessions that were
there before too. Nothing here says what a member may do inside.
"""

from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from ..members import Seat
from ..models import IdentityProvider, Role, Tenant
from .backends import by_password

#: Where a session that an identity provider made keeps whose it was: the tenant's id, and the issuer.
SINGLE_SIGN_ON = "single_sign_on"

#: Under the admin: what belongs to the person and not to a tenant, and so is served outside of any tenant's scope.
_THE_PERSONS_OWN = ("login/", "account/", "password_change/")


def is_the_persons_own(path: str) -> bool:
    """Whether a path under the admin is a door or an account page."""
    return path.removeprefix(reverse("admin:index")).startswith(_THE_PERSONS_OWN)


def staff_refusal(request: HttpRequest) -> HttpResponse | None:
    """Where platform staff go first, or None: they may enter."""
    return _to_second_factor(request) if settings.STAFF_REQUIRES_TWO_FACTOR and not has_second_factor(request) else None


def open_seats(request: HttpRequest, seats: list[Seat]) -> list[Seat]:
    """The seats that a session is good for: all of a person's by password, else one in the provider's own tenant."""
    if by_password(request):
        return seats
    tenant = request.session.get(SINGLE_SIGN_ON, {}).get("tenant")
    return [seat for seat in seats if str(seat.tenant_id) == tenant]


def refusal(
    request: HttpRequest, *, tenant: Tenant, role: str, provider: IdentityProvider | None
) -> HttpResponse | None:
    """Where a member goes before the tenant's desk opens, or None: it is open.

    Owners may use their password where single sign-on is required: a provider that fails locks nobody out for good.
    """
    if not by_password(request):
        return None if _vouches(request, provider) else _ended(request)
    if provider is not None and provider.enforced and role != Role.OWNER:
        return _to_provider(request, tenant)
    if tenant.requires_mfa and not has_second_factor(request):
        return _to_second_factor(request)
    return None


def _vouches(request: HttpRequest, provider: IdentityProvider | None) -> bool:
    kept = request.session.get(SINGLE_SIGN_ON, {})
    return provider is not None and provider.enabled and kept.get("issuer") == provider.issuer


def _ended(request: HttpRequest) -> HttpResponse:
    logout(request)
    messages.warning(request, "Single sign-on of your organisation has changed. Log in again.")
    return HttpResponseRedirect(reverse("account_login"))


def _to_provider(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": f"{tenant.name} requires single sign-on",
        "message": "Go on with your organisation's log-in. Your password here opens other organisations of yours only.",
        "go_on": reverse("sso_start", args=[tenant.slug]),
        "offer_logout": True,
    }
    return render(request, "admin/notice.html", context, status=403)


def has_second_factor(request: HttpRequest) -> bool:
    """Whether a code was given in this session."""
    records = get_authentication_records(request, request.user)
    return any(record["method"] == "mfa" for record in records)


def _to_second_factor(request: HttpRequest) -> HttpResponseRedirect:
    """To set it up, or to give a code in a session that began without."""
    assert isinstance(request.user, AbstractBaseUser)
    on = get_adapter().is_mfa_enabled(request.user, [Authenticator.Type.TOTP])
    page = reverse("mfa_reauthenticate" if on else "mfa_activate_totp")
    query = urlencode({REDIRECT_FIELD_NAME: request.get_full_path()}) if request.method == "GET" else ""
    return HttpResponseRedirect(f"{page}?{query}" if query else page)
