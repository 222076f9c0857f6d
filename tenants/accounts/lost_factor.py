"""Platform staff take off the second factor of somebody who has lost it, and the recovery codes with it.

After it a password alone opens the account, so all of the person's sessions end, each tenant of theirs finds it in its
audit log, and the person gets a letter. How staff made sure of who asked is the platform's to know: it stands in the
platform's log.
"""

from datetime import datetime
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import transaction

from ..audit import Actor, record
from ..errors import InvalidRequest, NotFound
from ..members import seats_of
from ..models import User
from ..platform_log import record_platform
from ..scope import as_staff
from . import letters

_LONGEST_REASON = 300


def has_second_factor(person: User) -> bool:
    """Whether a code is asked for when the person logs in."""
    return Authenticator.objects.filter(user=person, type=Authenticator.Type.TOTP).exists()


def take_off(*, person_id: UUID, by: Actor, reason: str, now: datetime) -> User:
    """Take the second factor off; returns the person.

    Args:
        reason: how staff know who asked. For the platform's log alone, for the person may be in several tenants.

    Raises:
        NotFound: no such person.
        InvalidRequest: there is no second factor, it is the actor's own, or the reason is missing or too long.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InvalidRequest(f"Say why, in at most {_LONGEST_REASON} characters.", param="reason")
    if by.id == str(person_id):
        raise InvalidRequest("This is your own: turn it off on your account's page, with a code.")
    with as_staff(), transaction.atomic(using="staff"):
        person = User.objects.select_for_update().filter(id=person_id).first()
        if person is None:
            raise NotFound("No such person.")
        if not has_second_factor(person):
            raise InvalidRequest(f"{person.email} has no second factor.")
        Authenticator.objects.filter(user=person).delete()
        for session in UserSession.objects.filter(user=person):
            session.end()
        for seat in seats_of(person.pk):
            record(by=by, action="account.two_factor_disabled", target=person, tenant_id=seat.tenant_id)
        record_platform(by=by, target=person, message=f"Turned off two-factor authentication: {reason}")
        letters.second_factor_taken_off(person, now=now)
    return person
