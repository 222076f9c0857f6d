"""Atrium's answers to what allauth asks: no sign-up, letters by our own queue, secrets encrypted."""

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from .. import encryption
from ..doorbells import ring_on_commit
from ..tasks import send_mail
from . import letters

#: allauth's template of a message → ours; what is not here is not said.
_SAID = {
    "account/messages/password_changed.txt": "Your password is changed.",
    "mfa/messages/totp_activated.txt": "Two-factor authentication is on.",
    "mfa/messages/totp_deactivated.txt": "Two-factor authentication is off.",
    "mfa/messages/recovery_codes_generated.txt": "New recovery codes are made. Keep them somewhere safe.",
}
#: How long after a password or code was given it need not be given again for a change of the account, in seconds.
_FRESH_SECONDS = 300


class AccountAdapter(DefaultAccountAdapter):
    """What allauth's account pages do here."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "incorrect_code": "That code is not right. Codes change every 30 seconds: type the one shown now.",
        "incorrect_password": "That password is not right.",
        "enter_current_password": "That is not your current password.",
        "too_many_login_attempts": "Too many failed attempts. Wait five minutes, then try again.",
        "rate_limited": "Too many failed attempts. Wait five minutes, then try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People come by invitation."""
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """The doors answer pages only."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """After log-in people go to a page of the admin, and nowhere else."""
        parts = urlsplit(url)
        home = reverse("admin:index")
        return super().is_safe_url(url) and not parts.netloc and parts.path.startswith(home)

    def is_reauthentication_required(self, **kwargs: Any) -> bool:
        """A password or code given just now, for the log-in itself too, is not asked for again."""
        records = get_authentication_records(self.request, self.request.user)
        newest = max((record["at"] for record in records), default=0.0)
        return timezone.now().timestamp() - newest > _FRESH_SECONDS

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: dict[str, Any] | None = None,
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        """In our words, or not at all."""
        text = message or _SAID.get(message_template or "")
        if text:
            messages.add_message(request, level, text, extra_tags=extra_tags)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """By the queue of letters, in our words."""
        letters.write(template_prefix, email=email, context=context)
        ring_on_commit(send_mail)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: AbstractBaseUser,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tell the person, and the audit log of each tenant of theirs, that the account changed."""
        ip = self.get_client_ip(self.request)
        letters.account_changed(template_prefix, user_id=user.pk, ip=ip, now=timezone.now())
        ring_on_commit(send_mail)

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """Nothing: names are counted by `limits`."""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Nothing: `limits` has counted this attempt already."""


class SecondFactorAdapter(DefaultMFAAdapter):
    """What allauth's two-factor pages do here."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": AccountAdapter.error_messages["incorrect_code"],
    }

    def encrypt(self, text: str) -> str:
        """Under the newest of `FIELD_ENCRYPTION_KEYS`."""
        return encryption.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Under any of them."""
        return encryption.decrypt(encrypted_text)
