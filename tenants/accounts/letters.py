"""Letters to a person about the account, and the audit rows of what was changed there.

An account is one person's in however many tenants. A letter goes out by the queue of the tenant where the person has
been a member longest; staff without a seat get theirs at once. A change of the account stands in the audit log of every
tenant of theirs, without a word about the others. Accepted: asking for a reset takes some milliseconds longer for an
address that is known, and the number of times that can be tried is limited.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from ..audit import Actor, record
from ..mail import tell_person
from ..members import seats_of
from ..models import User
from ..scope import acting_for, tenant_scope

log = structlog.get_logger("atrium.accounts")

_RESET = "account/email/password_reset_key"
_RESET_TEXT = """Somebody, probably you, asked for a new password for {email} at {platform}.

Choose it here, within {days} days:
{url}

If it was not you, do nothing: your password stays as it is.
"""
#: allauth's template of a notification → the audit action, and what happened.
_CHANGES = {
    "account/email/password_changed": ("account.password_changed", "Your password was changed"),
    "account/email/password_reset": ("account.password_reset", "Your password was set anew by a link in an e-mail"),
    "mfa/email/totp_activated": ("account.two_factor_enabled", "Two-factor authentication was turned on"),
    "mfa/email/totp_deactivated": ("account.two_factor_disabled", "Two-factor authentication was turned off"),
    "mfa/email/recovery_codes_generated": ("account.recovery_codes_made", "New recovery codes were made"),
}
_CHANGE_TEXT = """{what} for {email} at {platform}, on {when:%d %B %Y at %H:%M} UTC, from the address {ip}.

If it was you, there is nothing to do. If not, reset your password now and tell an owner of your organisation.
"""
_TAKEN_OFF = "Your two-factor authentication was turned off"
_TAKEN_OFF_TEXT = """The staff of {platform} turned off two-factor authentication for {email}, on {when:%d %B %Y at %H:%M} UTC,
because somebody said that it was lost. You are logged out everywhere. Log in with your password, then set it up anew
under "Your account".

If you did not ask for this, reset your password now and tell an owner of your organisation.
"""


def write(template: str, *, email: str, context: dict[str, Any]) -> None:
    """A letter that allauth asks for; the only one is the link that resets a password.

    Raises:
        ValueError: allauth wants a letter that we have no words for.
    """
    if template != _RESET:
        raise ValueError(f"no letter is called {template}")
    days = settings.PASSWORD_RESET_TIMEOUT // 86_400
    text = _RESET_TEXT.format(
        email=email, platform=settings.PLATFORM_NAME, days=days, url=context["password_reset_url"]
    )
    _send(context["user"], subject=f"Reset your {settings.PLATFORM_NAME} password", text=text)


def account_changed(template: str, *, user_id: UUID, ip: str, now: datetime) -> None:
    """Tell the person, and each tenant's audit log, what was changed."""
    action, what = _CHANGES[template]
    user = User.objects.get(pk=user_id)
    for seat in seats_of(user.pk):
        with acting_for(seat.tenant_id), tenant_scope():
            record(by=Actor("user", str(user.pk)), action=action, target=user)
    text = _CHANGE_TEXT.format(what=what, email=user.email, platform=settings.PLATFORM_NAME, when=now, ip=ip)
    _send(user, subject=what, text=text)


def second_factor_taken_off(person: User, *, now: datetime) -> None:
    """Tell a person what staff did; who of the staff, is theirs to know."""
    text = _TAKEN_OFF_TEXT.format(email=person.email, platform=settings.PLATFORM_NAME, when=now)
    _send(person, subject=_TAKEN_OFF, text=text)


def _send(user: User, *, subject: str, text: str) -> None:
    seats = seats_of(user.pk)
    if seats:
        with acting_for(seats[0].tenant_id):
            tell_person(email=user.email, subject=subject, text=text)
    elif user.is_superuser and settings.EMAIL_URL:
        transaction.on_commit(lambda: _send_now(user, subject, text))


def _send_now(user: User, subject: str, text: str) -> None:
    try:
        EmailMessage(subject, text, to=[user.email]).send()
    except OSError as error:  # SMTPException is one
        log.warning("a letter to staff could not be sent", user_id=str(user.pk), error=type(error).__name__)
