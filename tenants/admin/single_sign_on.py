"""Single sign-on of a tenant: set by its owner, tried, required."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from ..desk import conflicts
from ..desk.pages import DeskPage, desk_page
from ..models import IdentityProvider
from ..single_sign_on import providers

_INPUT = {"class": "desk-input"}


class ProviderForm(forms.Form):
    """What the owner's provider says of itself, and what is allowed by it."""

    issuer = forms.URLField(
        label="Issuer",
        max_length=500,
        assume_scheme="https",
        widget=forms.URLInput(attrs=_INPUT),
        help_text="The address by which your provider calls itself, exactly as it writes it. We read its "
        "/.well-known/openid-configuration.",
    )
    client_id = forms.CharField(label="Client ID", max_length=300, widget=forms.TextInput(attrs=_INPUT))
    client_secret = forms.CharField(
        label="Client secret",
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={**_INPUT, "autocomplete": "off"}),
        help_text="Kept encrypted and never shown again. Empty: the one we have.",
    )
    email_domains = forms.CharField(
        label="E-mail domains",
        required=False,
        max_length=2000,
        widget=forms.TextInput(attrs=_INPUT),
        help_text="Only addresses at these domains may log in by it, such as acme.com, acme.de. Empty: those of all members.",
    )
    enabled = forms.BooleanField(label="On: members may log in by it", required=False)
    admits_new = forms.BooleanField(
        label="New people at these domains become viewers when they first log in", required=False
    )
    enforced = forms.BooleanField(
        label="Required: passwords no longer open this tenant",
        required=False,
        help_text="Owners keep their password, so that a provider that fails locks nobody out for good.",
    )

    def __init__(self, data: Any = None, *, provider: IdentityProvider | None) -> None:
        super().__init__(data, initial=_initial(provider))
        self.provider = provider

    def clean(self) -> dict[str, Any]:
        """Django's; another owner may have been faster."""
        conflicts.check(self, self.provider)
        return self.cleaned_data

    def clean_email_domains(self) -> list[str]:
        """Domains in small letters, without the @."""
        parts = self.cleaned_data["email_domains"].lower().replace(",", " ").split()
        domains = sorted({part.lstrip("@") for part in parts})
        if wrong := [domain for domain in domains if "." not in domain or "@" in domain or len(domain) > 253]:
            raise forms.ValidationError(f"Not a domain: {', '.join(wrong)}")
        return domains


@desk_page
class SignOnPage(DeskPage):
    """The tenant's identity provider."""

    name, path, area = "sign_on", "sign-on/", "settings"
    icon, label, title = "login", "Single sign-on", "Single sign-on"
    template_name = "desk/single_sign_on.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The settings, and what to type at the provider."""
        context, tenant = super().get_context_data(**kwargs), self.visitor.tenant
        if tenant is None:
            return context
        provider = providers.provider_here()
        form = context.get("form") or ProviderForm(provider=provider)
        back = self.request.build_absolute_uri(reverse("sso_callback", args=[tenant.slug]))
        start = reverse("sso_start", args=[tenant.slug])
        return {
            "provider": provider,
            "form": form,
            "seen": conflicts.mark_of(form, datetime.now(UTC)),
            "redirect_uri": back,
            "start": start,
            "may_change": self.visitor.may("settings.change"),
            **context,
        }

    def post(self, request: HttpRequest) -> HttpResponse:
        """`save_provider` or `remove_provider`."""
        if self.visitor.tenant is None:
            return HttpResponseRedirect(reverse("admin:sign_on"))
        if "remove" in request.POST:
            providers.remove_provider(by=self.visitor.actor)
            messages.success(request, "Single sign-on is removed. Members log in with their passwords.")
            return HttpResponseRedirect(reverse("admin:sign_on"))
        conflicts.wait_for_others("single_sign_on", str(self.visitor.tenant.id))
        form = ProviderForm(request.POST, provider=providers.provider_here())
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        try:
            providers.save_provider(values=providers.Settings(**form.cleaned_data), by=self.visitor.actor)
        except providers.NotReady as error:
            form.add_error(error.param, error.message)
            return self.render_to_response(self.get_context_data(form=form))
        messages.success(request, "Saved.")
        return HttpResponseRedirect(reverse("admin:sign_on"))


def _initial(provider: IdentityProvider | None) -> dict[str, Any]:
    if provider is None:
        return {}
    names = ("issuer", "client_id", "enabled", "enforced", "admits_new")
    return {name: getattr(provider, name) for name in names} | {"email_domains": ", ".join(provider.email_domains)}
