"""Log-in by a tenant's identity provider: find it, go there, come back.

Nothing here runs in a tenant's scope, because it waits on another host; the domain functions open short ones. An answer
is good once, for ten minutes, in the browser that asked.
"""

import secrets
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.generic import FormView, View
from django.views.generic.base import ContextMixin

from ..accounts import limits
from ..accounts.backends import PROVIDER, by_password
from ..accounts.entrance import SINGLE_SIGN_ON
from ..accounts.pages import Door, notice, too_many
from ..desk.visitor import CHOSEN
from ..members import seats_of
from ..models import IdentityProvider, Role, User
from ..registry import tenant_by_slug
from ..scope import acting_for, leave_tenant
from . import providers
from .protocol import Claims, Client, Flow, SignOnFailed, address_to_log_in, claims_for, discover

_FLOW = "single_sign_on_flow"
_FLOW_SECONDS = 600
#: The provider cannot tell us when somebody leaves, so it is asked again each working day.
_SESSION = timedelta(hours=12)
_UNKNOWN = (
    "We found no single sign-on for that. Ask an owner of your organisation for its short name here, or log in with your "
    "password."
)


class LookupForm(forms.Form):
    """Who wants to log in, or where."""

    who = forms.CharField(label="Work e-mail, or your organisation's short name", max_length=254)


class LookupView(Door, FormView):
    """Finds the provider of a tenant, or of a member's one tenant.

    The answer is a page that goes on by itself: a form's answer may not lead to another host (CSP `form-action`).
    """

    title, template_name, form_class = "Log in with single sign-on", "accounts/single_sign_on.html", LookupForm

    def form_valid(self, form: Any) -> HttpResponse:
        """On to the provider, or why not."""
        if not limits.lookup_allowed(self.request):
            return too_many(self.request, "searches for a log-in")
        found = providers.slugs_for(form.cleaned_data["who"])
        if len(found) != 1:
            several = "That address belongs to several organisations here. Type the short name of yours."
            form.add_error("who", several if found else _UNKNOWN)
            return self.form_invalid(form)
        wanted = self.request.POST.get("next", "")
        start = f"{reverse('sso_start', args=found)}{'?' + urlencode({'next': wanted}) if wanted else ''}"
        return self.render_to_response(self.get_context_data(form=form, start=start))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Also the page that was asked for."""
        wanted = self.request.POST.get("next") or self.request.GET.get("next", "")
        return super().get_context_data(redirect_field_name="next", redirect_field_value=wanted, **kwargs)


class _SignOn(Door, ContextMixin, View, ABC):
    """What the way there and the way back have in common."""

    title = "Single sign-on"
    request: HttpRequest

    def provider(self) -> IdentityProvider:
        """The provider of the tenant that the path names."""
        found = providers.provider_here()
        if found is None:
            raise SignOnFailed(_UNKNOWN)
        return found

    def client(self, provider: IdentityProvider, slug: str) -> Client:
        """Atrium, as this provider knows it."""
        back = self.request.build_absolute_uri(reverse("sso_callback", args=[slug]))
        return Client(provider.issuer, provider.client_id, provider.client_secret, back)

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        """In the tenant that the path names; what goes wrong is said."""
        tenant_id = tenant_by_slug(slug)
        try:
            if tenant_id is None:
                raise SignOnFailed(_UNKNOWN)
            with leave_tenant(), acting_for(tenant_id):
                return self.step(slug, tenant_id)
        except SignOnFailed as error:
            return notice(request, "Single sign-on did not work", error.message, status=403, back="account_login")

    @abstractmethod
    def step(self, slug: str, tenant_id: UUID) -> HttpResponse:
        """One half of the way."""


class StartView(_SignOn):
    """Sends the browser to the provider. With `?test=1` an owner tries it: the answer is shown, nobody is logged in."""

    def step(self, slug: str, tenant_id: UUID) -> HttpResponse:
        """Ask the provider where to go, and keep what its answer must fit."""
        if not limits.lookup_allowed(self.request):
            return too_many(self.request, "log-ins by single sign-on")
        provider, test = self.provider(), "test" in self.request.GET
        if not (provider.enabled or (test and self._is_owner(tenant_id))):
            raise SignOnFailed(_UNKNOWN)
        flow = Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        address = address_to_log_in(self.client(provider, slug), flow, discover(provider.issuer))
        wanted = self.request.GET.get("next", "")
        self.request.session[_FLOW] = {
            **vars(flow),
            "slug": slug,
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "at": time.time(),
            "test": test and self._is_owner(tenant_id),
            "next": wanted if wanted and get_adapter().is_safe_url(wanted) else "",
        }
        return HttpResponseRedirect(address)

    def _is_owner(self, tenant_id: UUID) -> bool:
        user = self.request.user
        if not isinstance(user, User) or not by_password(self.request):
            return False
        return any(seat.tenant_id == tenant_id and seat.role == Role.OWNER for seat in seats_of(user.pk))


class CallbackView(_SignOn):
    """Where the provider sends the browser back to."""

    def step(self, slug: str, tenant_id: UUID) -> HttpResponse:
        """Believe the answer, or say why not; then in."""
        kept = self._kept(slug)
        provider, flow = self.provider(), Flow(kept["state"], kept["nonce"], kept["verifier"])
        if (provider.issuer, provider.client_id) != (kept["issuer"], kept["client_id"]):
            raise SignOnFailed("The settings of single sign-on changed meanwhile. Start again.")
        claims = claims_for(self.client(provider, slug), flow, self.request.GET.get("code", ""))
        if kept["test"]:
            return self._tested(provider, claims)
        if not provider.enabled:
            raise SignOnFailed(_UNKNOWN)
        user = providers.person_of(provider=provider, claims=claims)
        self._note(provider)
        return self._enter(user, provider, kept["next"])

    def _kept(self, slug: str) -> dict[str, Any]:
        """What was kept when the browser was sent there, if this is the answer to it."""
        given, kept = self.request.GET, self.request.session.pop(_FLOW, None)
        fits = (
            kept is not None and constant_time_compare(given.get("state", ""), kept["state"]) and kept["slug"] == slug
        )
        if not fits:
            raise SignOnFailed("This answer belongs to no log-in that began in this browser. Start again.")
        if time.time() - kept["at"] > _FLOW_SECONDS:
            raise SignOnFailed("The log-in took longer than ten minutes. Start again.")
        if given.get("iss", kept["issuer"]) != kept["issuer"]:
            raise SignOnFailed("The answer comes from another provider than the one that was asked.")
        if "error" in given:
            text = given.get("error_description") or given["error"]
            raise SignOnFailed(f"The provider refused: {text[:200]}")
        return kept

    def _note(self, provider: IdentityProvider) -> None:
        providers.note_test(
            provider_id=provider.id, issuer=provider.issuer, client_id=provider.client_id, now=timezone.now()
        )

    def _tested(self, provider: IdentityProvider, claims: Claims) -> HttpResponse:
        self._note(provider)
        context = self.get_context_data(claims=claims, provider=provider)
        return TemplateResponse(self.request, "accounts/single_sign_on_tested.html", context)

    def _enter(self, user: User, provider: IdentityProvider, wanted: str) -> HttpResponse:
        request = self.request
        request.session.flush()  # whoever sat here before
        login(request, user, backend=PROVIDER)
        request.session[SINGLE_SIGN_ON] = {"tenant": str(provider.tenant_id), "issuer": provider.issuer}
        request.session[CHOSEN] = str(provider.tenant_id)
        request.session.set_expiry(_SESSION)
        UserSession.objects.create_from_request(request)
        return HttpResponseRedirect(wanted or reverse("admin:index"))
