"""Invitations: the way into a tenant, by a link that is sent to the person's own address and to nobody else.

Whoever opens the link has shown that the mailbox is theirs; only then is there a membership, and only then may somebody
new choose a password. So nobody can be made a member under an address that is not theirs, and an admin never sees the
link. It works once, for seven days; sending it again makes a new one, and the older one is dead. Of the link's secret
only a keyed hash is kept.
"""

import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from .api_keys import hash_secret, secret_matches
from .audit import Actor, record
from .errors import AtriumError, NotFound
from .mail import write_letter
from .members import AlreadyMember, add_member
from .models import Invitation, Membership, Role, Tenant, User
from .scope import tenant_scope

VALID_FOR = timedelta(days=7)
#: Makes of a token the address that the letter names.
Link = Callable[[str], str]
_UNKNOWN = (
    "This link is not an invitation that is open. Was it copied whole? If a newer letter came, use the link in that one; "
    "else ask whoever invited you to send it again."
)
_TOKEN = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})-([0-9a-f]{40})")


class NoMail(AtriumError):
    """Without a mail server nobody can be invited."""

    status = 409
    type = "invalid_request_error"
    code = "no_mail"

    def __init__(self) -> None:
        super().__init__("This deployment cannot send e-mail yet (EMAIL_URL is not set), so nobody can be invited.")


class InvitationOver(AtriumError):
    """The link cannot be used; the message says why, and what to do."""

    status = 410
    type = "invalid_request_error"
    code = "invitation_over"


def invite(*, email: str, role: Role, by: Actor, link: Link, now: datetime) -> Invitation:
    """Invite the person with this address to the current tenant; the letter goes out with the commit.

    Inviting somebody again renews the open invitation, with the role that is asked for now.

    Raises:
        AlreadyMember: they have a role here.
        NoMail: there is no mail server.
    """
    email = email.strip().lower()
    with tenant_scope() as tenant_id:
        _one_at_a_time(tenant_id)
        if Membership.objects.filter(user__email__iexact=email).exists():
            raise AlreadyMember(f"{email} is a member already. Change the role instead.", param="email")
        invitation = Invitation.objects.filter(email=email, accepted_at=None, revoked_at=None).first()
        if invitation is None:
            invitation = Invitation(tenant_id=tenant_id, email=email, invited_by_type=by.type, invited_by_id=by.id)
        invitation.role = role
        _send(invitation, link=link, now=now)
        record(by=by, action="member.invited", target=invitation, changes={"email": email, "role": role})
    return invitation


def resend(*, invitation_id: UUID, by: Actor, link: Link, now: datetime) -> Invitation:
    """Send a new link, good for seven days from now; the older one is dead.

    Raises:
        NotFound: no such invitation in this tenant.
        InvitationOver: it was accepted or revoked.
        NoMail: there is no mail server.
    """
    with tenant_scope() as tenant_id:
        invitation = _open(tenant_id, invitation_id)
        _send(invitation, link=link, now=now)
        record(by=by, action="invitation.sent_again", target=invitation, changes={"email": invitation.email})
    return invitation


def revoke(*, invitation_id: UUID, by: Actor, now: datetime) -> Invitation:
    """Make the link useless.

    Raises:
        NotFound: no such invitation in this tenant.
        InvitationOver: it was accepted or revoked.
    """
    with tenant_scope() as tenant_id:
        invitation = _open(tenant_id, invitation_id)
        invitation.revoked_at = now
        invitation.save(update_fields=["revoked_at"])
        record(by=by, action="invitation.revoked", target=invitation, changes={"email": invitation.email})
    return invitation


def tenant_of(token: str) -> UUID:
    """Whose invitation a link claims to be.

    Raises:
        InvitationOver: it is not shaped like one.
    """
    if found := _TOKEN.fullmatch(token):
        return UUID(hex=found[1])
    raise InvitationOver(_UNKNOWN)


def find(*, token: str, now: datetime) -> Invitation:
    """The open invitation of the current tenant behind a link, with its tenant.

    Raises:
        InvitationOver: there is none, or it was used, revoked, replaced, or its time is over.
    """
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvitationOver(_UNKNOWN)
    with tenant_scope():
        invitation = Invitation.objects.select_related("tenant").filter(id=UUID(hex=found[2])).first()
    if invitation is None or not secret_matches(found[3], invitation.token_hash):
        raise InvitationOver(_UNKNOWN)
    if invitation.accepted_at is not None:
        raise InvitationOver("This invitation was used already. Log in with the address that it was sent to.")
    if invitation.revoked_at is not None:
        raise InvitationOver("This invitation was withdrawn. Ask whoever invited you for a new one.")
    if invitation.expires_at <= now:
        ended = f"{invitation.expires_at:%d %B %Y at %H:%M} UTC"
        raise InvitationOver(f"This invitation ended on {ended}. Ask whoever invited you to send it again.")
    return invitation


def person_of(invitation: Invitation) -> User | None:
    """The person who has this address and logs in already; None for somebody new, who is to choose a password."""
    user = User.objects.filter(email__iexact=invitation.email).first()
    return user if user is not None and user.has_usable_password() else None


def accept(*, token: str, user: User, now: datetime) -> Membership:
    """Make the person whom the invitation is for a member, once.

    Raises:
        InvitationOver: as `find`, or it is for somebody else.
    """
    with tenant_scope() as tenant_id:
        _one_at_a_time(tenant_id)
        invitation = find(token=token, now=now)
        if user.email.lower() != invitation.email:
            raise InvitationOver(f"This invitation is for {invitation.email}, and you are logged in as {user.email}.")
        return _accept(invitation, user, now)


def accept_as_new(*, token: str, password: str, now: datetime) -> tuple[User, Membership]:
    """The same for somebody who has no log-in yet: the password, checked by the caller, becomes theirs.

    Raises:
        InvitationOver: as `find`; or the person has a log-in, which this does not change.
    """
    with tenant_scope() as tenant_id:
        _one_at_a_time(tenant_id)
        invitation = find(token=token, now=now)
        if person_of(invitation) is not None:
            raise InvitationOver("You have a log-in already. Log in to accept the invitation.")
        membership = add_member(email=invitation.email, role=Role(invitation.role), by=_guest(invitation))
        user = User.objects.select_for_update().get(id=membership.user_id)
        if user.has_usable_password() or not user.is_active:
            raise InvitationOver("This person cannot log in with a new password. Ask the platform's operator.")
        user.set_password(password)
        user.save(update_fields=["password"])
        _close(invitation, user, now)
    return user, membership


def _accept(invitation: Invitation, user: User, now: datetime) -> Membership:
    membership = Membership.objects.filter(user=user).first()
    if membership is None:
        membership = add_member(email=invitation.email, role=Role(invitation.role), by=Actor("user", str(user.id)))
    _close(invitation, user, now)
    return membership


def _close(invitation: Invitation, user: User, now: datetime) -> None:
    invitation.accepted_at = now
    invitation.save(update_fields=["accepted_at"])
    by = Actor("user", str(user.id))
    record(by=by, action="invitation.accepted", target=invitation, changes={"email": invitation.email})


def _guest(invitation: Invitation) -> Actor:
    return Actor("invitation", str(invitation.id))


def _open(tenant_id: UUID, invitation_id: UUID) -> Invitation:
    _one_at_a_time(tenant_id)
    invitation = Invitation.objects.filter(id=invitation_id).first()
    if invitation is None:
        raise NotFound("No such invitation.")
    if invitation.accepted_at is not None:
        raise InvitationOver("This invitation was accepted already.")
    if invitation.revoked_at is not None:
        raise InvitationOver("This invitation was revoked. Invite the person anew.")
    return invitation


def _one_at_a_time(tenant_id: UUID) -> None:
    """One change of members and invitations at a time: a link cannot be used twice, nor while it is revoked."""
    Tenant.objects.select_for_update(no_key=True).get(id=tenant_id)


def _send(invitation: Invitation, *, link: Link, now: datetime) -> None:
    if not settings.EMAIL_URL:
        raise NoMail
    secret = secrets.token_hex(20)
    invitation.token_hash = hash_secret(secret)
    invitation.sent_at, invitation.expires_at = now, now + VALID_FOR
    invitation.save()
    tenant = Tenant.objects.get(id=invitation.tenant_id)
    address = link(f"{tenant.id.hex}-{invitation.id.hex}-{secret}")
    text = (
        f"You are invited to {tenant.name} on {settings.PLATFORM_NAME}, as {Role(invitation.role).label.lower()}.\n\n"
        f"Accept it here, until {invitation.expires_at:%d %B %Y, %H:%M} UTC:\n\n{address}\n\n"
        "The link works once and is for you alone. If you did not expect this, ignore this letter: without the link "
        "nothing happens.\n"
    )
    write_letter(recipient=invitation.email, subject=f"Invitation to {tenant.name}", text=text)
