"""The doors and account pages. Names are allauth's own, because its views lead to each other by them.

What is not here is off: sign-up, further e-mail addresses, connections, passkeys.
"""

from django.urls import path, re_path
from django.views.generic import RedirectView

from ..single_sign_on import login
from . import passwords, sessions, two_factor

urlpatterns = [
    path("login/", passwords.LoginView.as_view(), name="account_login"),
    path("login/code/", two_factor.CodeView.as_view(), name="mfa_authenticate"),
    path("login/reset/", passwords.ResetView.as_view(), name="account_reset_password"),
    path("login/reset/sent/", passwords.ResetSentView.as_view(), name="account_reset_password_done"),
    re_path(
        r"^login/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        passwords.ResetByLinkView.as_view(),
        name="account_reset_password_from_key",
    ),
    path("login/sso/", login.LookupView.as_view(), name="sso_lookup"),
    path("login/sso/<slug:slug>/", login.StartView.as_view(), name="sso_start"),
    path("login/sso/<slug:slug>/callback/", login.CallbackView.as_view(), name="sso_callback"),
    path("password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("account/", sessions.AccountView.as_view(), name="mfa_index"),
    path("account/sessions/end/", sessions.EndSessionsView.as_view(), name="account_end_sessions"),
    path("account/password/", passwords.ChangePasswordView.as_view(), name="account_change_password"),
    path("account/password/set/", passwords.ask_for_reset, name="account_set_password"),
    path("account/confirm/", two_factor.ConfirmPasswordView.as_view(), name="account_reauthenticate"),
    path("account/confirm/code/", two_factor.ConfirmCodeView.as_view(), name="mfa_reauthenticate"),
    path("account/two-factor/", two_factor.TurnOnView.as_view(), name="mfa_activate_totp"),
    path("account/two-factor/off/", two_factor.TurnOffView.as_view(), name="mfa_deactivate_totp"),
    path("account/recovery-codes/", two_factor.CodesView.as_view(), name="mfa_view_recovery_codes"),
    path("account/recovery-codes/new/", two_factor.NewCodesView.as_view(), name="mfa_generate_recovery_codes"),
    path(
        "account/recovery-codes/download/", two_factor.DownloadCodesView.as_view(), name="mfa_download_recovery_codes"
    ),
]
