"""Members: the people of a tenant and their roles. People are never deleted, only their memberships.

A person is one `User` in however many tenants; adding an e-mail address that is known elsewhere answers exactly like
adding a new one. Every tenant keeps at least one owner: changes lock the tenant's row, so two of them cannot both
take "the other" one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from .audit import Actor, record
from .errors import AtriumError, NotFound
from .models import Membership, Role, Tenant, User
from .scope import acting_for, tenant_scope


class AlreadyMember(AtriumError):
    """The person has a role in this tenant; change that instead."""

    status = 409
    type = "invalid_request_error"
    code = "already_member"


class LastOwner(AtriumError):
    """A tenant without an owner could not be governed by anybody."""

    status = 409
    type = "invalid_request_error"
    code = "last_owner"

    def __init__(self) -> None:
        super().__init__("This is the tenant's last owner. Make somebody else an owner first.")


@dataclass(frozen=True)
class Seat:
    """A person's place in one tenant."""

    tenant_id: UUID
    role: str


def seats_of(user_id: UUID) -> list[Seat]:
    """Where a person is a member, longest first; asks a pinned function, so it needs no scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, role FROM memberships_of(%s)", [user_id])
        return [Seat(*row) for row in cursor.fetchall()]


def tenants_at(seats: Iterable[Seat]) -> list[Tenant]:
    """The tenants of a person's seats, each read in its own short scope; outside any other."""
    found = []
    for seat in seats:
        with acting_for(seat.tenant_id), tenant_scope():
            found.append(Tenant.objects.get(id=seat.tenant_id))
    return found


def add_member(*, email: str, role: Role, by: Actor) -> Membership:
    """Give the person with this e-mail address a role in the current tenant.

    Somebody new gets a user without a usable password: an operator sets one, or single sign-on brings them in.

    Raises:
        AlreadyMember: they have a role here.
    """
    email = email.strip().lower()
    with tenant_scope() as tenant_id:
        user = User.objects.filter(email__iexact=email).first() or _new_user(email)
        membership, created = Membership.objects.get_or_create(tenant_id=tenant_id, user=user, defaults={"role": role})
        if not created:
            raise AlreadyMember(f"{email} is a member already. Change the role instead.", param="email")
        record(by=by, action="member.added", target=membership, changes={"email": email, "role": role})
    return membership


def _new_user(email: str) -> User:
    user = User(email=email)
    # An address may be longer than a user name can be; people log in by either.
    user.username = email if len(email) <= 150 else str(user.id)
    user.set_unusable_password()
    found, _ = User.objects.get_or_create(
        email=email, defaults={"id": user.id, "username": user.username, "password": user.password}
    )
    return found


def change_role(*, membership_id: UUID, role: Role, by: Actor) -> Membership:
    """Change a member's role.

    Raises:
        NotFound: no such member in this tenant.
        LastOwner: nobody would own the tenant.
    """
    with tenant_scope() as tenant_id:
        membership = _locked(tenant_id, membership_id)
        before = membership.role
        if before != role:
            if before == Role.OWNER:
                _keep_an_owner()
            membership.role = role
            membership.save(update_fields=["role"])
            record(by=by, action="member.role_changed", target=membership, changes={"role": [before, role]})
    return membership


def remove_member(*, membership_id: UUID, by: Actor) -> None:
    """End a membership; the person's next request is refused.

    Raises:
        NotFound: no such member in this tenant.
        LastOwner: nobody would own the tenant.
    """
    with tenant_scope() as tenant_id:
        membership = _locked(tenant_id, membership_id)
        if membership.role == Role.OWNER:
            _keep_an_owner()
        changes = {"email": membership.user.email, "role": membership.role}
        record(by=by, action="member.removed", target=membership, changes=changes)
        membership.delete()


def _locked(tenant_id: UUID, membership_id: UUID) -> Membership:
    Tenant.objects.select_for_update(no_key=True).get(id=tenant_id)
    membership = Membership.objects.select_related("user").filter(id=membership_id).first()
    if membership is None:
        raise NotFound("No such member.")
    return membership


def _keep_an_owner() -> None:
    if Membership.objects.filter(role=Role.OWNER).count() < 2:
        raise LastOwner
