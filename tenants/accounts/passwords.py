"""Log-in by password, and how a password is changed or set anew by a link in an e-mail."""

from typing import Any

from allauth.account import views
from allauth.account.adapter import get_adapter
from allauth.account.forms import ResetPasswordForm as AllauthResetForm
from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django import forms
from django.contrib import messages
from django.contrib.auth.forms import UsernameField
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse, reverse_lazy

from ..carried import PATH_TO_LOG
from ..models import User
from . import limits
from .pages import AccountPage, Door, too_many


class LoginForm(forms.Form):
    """An e-mail address or user name, and a password."""

    username = UsernameField(label="E-mail or user name", max_length=254)
    password = forms.CharField(
        label="Password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    errors_of = {
        "wrong": "That e-mail address (or user name) and password do not belong together.",
        "inactive": "This account is out of service. Ask an owner of your organisation.",
    }

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: User | None = None

    def clean_username(self) -> str:
        """The user name behind an e-mail address; anything else as it is."""
        text = self.cleaned_data["username"].strip()
        if "@" not in text:
            return text
        return User.objects.filter(email__iexact=text).values_list("username", flat=True).first() or text

    def clean(self) -> dict[str, Any]:
        """Whether they belong together; whether the person may see anything is not asked here."""
        given = self.cleaned_data
        if "username" in given and "password" in given:
            credentials = {"username": given["username"], "password": given["password"]}
            self.user = get_adapter().authenticate(self.request, **credentials)
            if self.user is None:
                raise ValidationError(self.errors_of["wrong"])
            if not self.user.is_active:
                raise ValidationError(self.errors_of["inactive"])
        return given

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """On to the second factor, or in."""
        login = Login(user=self.user, redirect_url=redirect_url)
        return perform_password_login(request, {"username": self.cleaned_data["username"]}, login)


class LoginView(Door, views.LoginView):
    """The admin's log-in; after too many failures a page that says so (429)."""

    title, template_name, form_class = "Log in", "accounts/login.html", LoginForm

    def get_form_class(self) -> type[forms.Form]:
        """Ours."""
        return self.form_class

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Under the limits of names and addresses."""
        if not limits.attempt_allowed(request):
            return too_many(request, "failed attempts to log in")
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """The password was right."""
        limits.note_success(self.request)
        return super().form_valid(form)

    def form_invalid(self, form: Any) -> HttpResponse:
        """It was not."""
        limits.note_failure(self.request)
        return super().form_invalid(form)


class ChangePasswordView(AccountPage, views.PasswordChangeView):
    """A new password for one that is known; ends the person's other sessions."""

    title, template_name = "Change password", "accounts/password_change.html"
    success_url = reverse_lazy("mfa_index")
    labels = {"oldpassword": "Current password", "password1": "New password", "password2": "New password again"}
    helps = {"password1": "At least 8 characters; not a common password, not only your name or address."}

    def get_default_success_url(self) -> str:
        """The account's first page."""
        return str(self.success_url)


class ResetForm(AllauthResetForm):
    """Finds people whatever the case of the address they type."""

    def clean_email(self) -> str:
        """The address as typed."""
        email = self.cleaned_data["email"]
        self.users = list(User.objects.filter(email__iexact=email, is_active=True))
        return email


class ResetView(Door, views.PasswordResetView):
    """Asks for the link; answers alike whether the address is known or not."""

    title, template_name = "Reset your password", "accounts/reset.html"
    form_class, labels = ResetForm, {"email": "E-mail"}

    def get_form_class(self) -> type[forms.Form]:
        """Ours."""
        return self.form_class

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Under the limits of names and addresses."""
        if not limits.reset_allowed(request):
            return too_many(request, "requests for a new password")
        with transaction.atomic():
            return super().post(request, *args, **kwargs)


class ResetSentView(Door, views.PasswordResetDoneView):
    """What to do next."""

    title, template_name = "Look at your e-mail", "accounts/reset_sent.html"


class ResetByLinkView(Door, views.PasswordResetFromKeyView):
    """The page behind the link: a new password, once. Log-in follows, with the second factor where there is one."""

    title, template_name = "Choose a new password", "accounts/reset_by_link.html"
    labels = {"password1": "New password", "password2": "New password again"}
    helps = ChangePasswordView.helps
    success_url = reverse_lazy("account_login")

    def dispatch(self, request: HttpRequest, uidb36: str, key: str, **kwargs: Any) -> HttpResponseBase:
        """One transaction, audit rows and letter included. The address holds the link's secret: it is not logged."""
        PATH_TO_LOG.put(request, "/admin/login/reset/…/")
        with transaction.atomic():
            return super().dispatch(request, uidb36, key, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Whoever was logged in here is not any more: the next step is the log-in."""
        answer = super().form_valid(form)
        messages.success(self.request, "Log in with the new password.")
        return answer


def ask_for_reset(request: HttpRequest) -> HttpResponseRedirect:
    """Who has no password yet gets one by e-mail."""
    return HttpResponseRedirect(reverse("account_reset_password"))
