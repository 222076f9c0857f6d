"""What the operator does: bring a tenant to life with its first key, find tenants, suspend, resume; seat people.

Look-ups run as staff, which sees every tenant; each change runs as the app role inside the one tenant's own scope, in
one transaction with its audit row.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from .api_keys import issue
from .audit import Actor
from .errors import InvalidRequest, NotFound
from .ids import uuid7
from .members import add_member
from .models import Membership, Role, Tenant, User
from .permissions import KEY_SCOPES
from .platform_log import record_made_staff
from .registry import ExternalIdTaken, SlugTaken, create_tenant, set_status
from .scope import acting_for, as_staff, tenant_scope


@dataclass(frozen=True)
class Provisioned:
    """A tenant and its first key; the key is None where the tenant stood already."""

    tenant: Tenant
    key: str | None


def provision(
    *,
    external_id: str,
    slug: str,
    name: str,
    by: Actor,
    currency: str,
    retention_days: int | None,
    options: dict[str, Any],
) -> Provisioned:
    """The tenant with this external id, created with a first key that may do everything unless it stands already.

    Asking again, even at the same moment, answers the same tenant; the key is not shown twice.

    Raises:
        ExternalIdTaken: a tenant with this external id has another slug.
        SlugTaken: another tenant has the slug.
        InvalidRequest: something that cannot be, such as a plan that does not exist.
    """
    if (tenant := _by_external_id(external_id)) is None:
        tenant_id = uuid7()
        try:
            with acting_for(tenant_id), tenant_scope():
                tenant = create_tenant(
                    tenant_id=tenant_id,
                    slug=slug,
                    name=name,
                    by=by,
                    currency=currency,
                    external_id=external_id,
                    content_retention_days=retention_days,
                    options=options,
                )
                _, key = issue(name="first", scopes=sorted(KEY_SCOPES), by=by)
            return Provisioned(find_tenant(tenant_id), key)
        except (ExternalIdTaken, SlugTaken):
            # Perhaps lost to the same request sent twice: both indexes refuse it, either may be asked first.
            if (tenant := _by_external_id(external_id)) is None:
                raise
    if tenant.slug != slug:
        raise ExternalIdTaken(f"This external id belongs to the tenant '{tenant.slug}'.", param="external_id")
    return Provisioned(tenant, None)


def _by_external_id(external_id: str) -> Tenant | None:
    with as_staff():
        return Tenant.objects.filter(external_id=external_id).first()


def find_tenant(tenant_id: UUID) -> Tenant:
    """Any tenant, for the operator.

    Raises:
        NotFound: there is none with this id.
    """
    with as_staff():
        tenant = Tenant.objects.filter(id=tenant_id).first()
    if tenant is None:
        raise NotFound("No such tenant.")
    return tenant


def suspend(*, tenant_id: UUID, by: Actor, reason: str = "") -> Tenant:
    """Take a tenant out of service: its keys answer 403 within `API_KEY_CACHE_SECONDS`. Again: nothing changes.

    Raises:
        NotFound: there is none with this id.
    """
    return set_status(tenant=find_tenant(tenant_id), status=Tenant.Status.SUSPENDED, by=by, reason=reason)


def resume(*, tenant_id: UUID, by: Actor, reason: str = "") -> Tenant:
    """Put a tenant back into service. Again: nothing changes.

    Raises:
        NotFound: there is none with this id.
    """
    return set_status(tenant=find_tenant(tenant_id), status=Tenant.Status.ACTIVE, by=by, reason=reason)


def seat_member(*, email: str, role: Role, by: Actor, password: str | None = None) -> Membership:
    """Make a person a member of the current tenant and, where they have no password yet, give them their first.

    Raises:
        AlreadyMember: they have a role here.
        InvalidRequest: the password is too weak, or they have one: it opens other tenants too, so it stays theirs.
    """
    with tenant_scope():
        membership = add_member(email=email, role=role, by=by)
        if password is not None:
            user = membership.user
            if user.has_usable_password():
                raise InvalidRequest(f"{user.email} has a password already. Add them without one.", param="password")
            _check_password(password, user)
            user.set_password(password)
            user.save(update_fields=["password"])
    return membership


def seat_staff(*, email: str, password: str) -> User:
    """A new person of the platform's staff, who sees every tenant; the platform's log says where they come from.

    Raises:
        InvalidRequest: the password is too weak, or the address is somebody's: staff make somebody known one of theirs
            in the admin, where it is on record.
    """
    user = User(username=email.strip().lower(), email=email.strip().lower(), is_superuser=True, is_staff=True)
    if User.objects.filter(email__iexact=user.email).exists():
        raise InvalidRequest(f"{user.email} is known already. Make them staff in the admin.", param="email")
    _check_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        user.save(force_insert=True)
        record_made_staff(person=user)
    return user


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequest(f"Invalid 'password': {error.messages[0]}", param="password") from error
