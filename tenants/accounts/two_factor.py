"""The second factor: asked for at log-in, set up and taken off by the person, with recovery codes for a lost phone."""

from typing import Any

from allauth.account import views as account_views
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base import views as mfa_views
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as code_views
from allauth.mfa.totp import views as totp_views
from django.http import HttpResponse
from django.urls import reverse_lazy

from .pages import AccountPage, Door

_CODE = {"code": "Code"}
_NOW_SHOWN = {"code": "The six digits that the app shows now, or a recovery code."}


class CodeView(Door, mfa_views.AuthenticateView):
    """The second step of the log-in."""

    title, template_name = "Two-factor code", "accounts/code.html"
    labels, helps = _CODE, _NOW_SHOWN


class ConfirmPasswordView(AccountPage, account_views.ReauthenticateView):
    """The password again, before the account changes."""

    title, template_name = "Confirm that it is you", "accounts/confirm.html"
    labels = {"password": "Password"}


class ConfirmCodeView(AccountPage, mfa_views.ReauthenticateView):
    """A code, before the account changes or where the tenant asks for one."""

    title, template_name = "Confirm that it is you", "accounts/confirm.html"
    labels, helps = _CODE, _NOW_SHOWN


class TurnOnView(AccountPage, totp_views.ActivateTOTPView):
    """Shows the key to an authenticator app; a code from it proves that it has the key."""

    title, template_name = "Set up two-factor authentication", "accounts/turn_on.html"
    labels = {"code": "Code from the app"}

    def form_valid(self, form: Any) -> HttpResponse:
        """The code was a proof of the second factor for this session, too."""
        answer = super().form_valid(form)
        record_authentication(self.request, form.user, "mfa", type=Authenticator.Type.TOTP)
        return answer


class TurnOffView(AccountPage, totp_views.DeactivateTOTPView):
    """Takes the second factor off; recovery codes go with it."""

    title, template_name = "Turn off two-factor authentication", "accounts/turn_off.html"


class CodesView(AccountPage, code_views.ViewRecoveryCodesView):
    """The recovery codes that are left."""

    title, template_name = "Recovery codes", "accounts/recovery_codes.html"


class NewCodesView(AccountPage, code_views.GenerateRecoveryCodesView):
    """New recovery codes for the old ones."""

    title, template_name = "New recovery codes", "accounts/new_recovery_codes.html"
    success_url = reverse_lazy("mfa_view_recovery_codes")


class DownloadCodesView(AccountPage, code_views.DownloadRecoveryCodesView):
    """The codes as a text file."""

    template_name = "accounts/recovery_codes.txt"
