"""A tenant's identity provider: set by an owner, found by who logs in, asked who somebody is here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ..audit import Actor, record
from ..errors import AtriumError
from ..members import add_member, seats_of
from ..models import IdentityProvider, Membership, ProviderIdentity, Role, Tenant, User
from ..registry import tenant_by_slug
from ..scope import acting_for, tenant_scope
from .protocol import Claims, SignOnFailed

_SETTINGS = ("issuer", "client_id", "email_domains", "enabled", "enforced", "admits_new")
#: Of these a change makes another provider, or another client of it: it has to be tried anew.
_IDENTITY = {"issuer", "client_id", "client_secret"}


class NotReady(AtriumError):
    """A setting that would lock people out, or let anybody in."""

    status = 400
    type = "invalid_request_error"
    code = "single_sign_on_not_ready"


@dataclass(frozen=True)
class Settings:
    """What an owner sets; an empty secret keeps the one there is."""

    issuer: str
    client_id: str
    client_secret: str
    email_domains: list[str]
    enabled: bool
    enforced: bool
    admits_new: bool


def provider_here() -> IdentityProvider | None:
    """The current tenant's."""
    with tenant_scope():
        return IdentityProvider.objects.first()


def save_provider(*, values: Settings, by: Actor) -> IdentityProvider:
    """Set the current tenant's provider. Another issuer or client has to be tested anew, and knows nobody yet.

    Raises:
        NotReady: it would be enforced without a test, or admit people from anywhere.
    """
    with tenant_scope() as tenant_id:
        Tenant.objects.select_for_update(no_key=True).get(id=tenant_id)
        row = IdentityProvider.objects.first() or IdentityProvider(tenant_id=tenant_id)
        changes: dict[str, Any] = {name: [getattr(row, name), getattr(values, name)] for name in _SETTINGS}
        changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
        if values.client_secret:
            changes["client_secret"] = "changed"  # what, is nobody's to read
        for name in _SETTINGS:
            setattr(row, name, getattr(values, name))
        row.client_secret = values.client_secret or row.client_secret
        if _IDENTITY & changes.keys():
            row.tested_at = None
        _check(row)
        if "issuer" in changes and not row._state.adding:
            ProviderIdentity.objects.filter(provider=row).delete()
        row.save()
        if changes:
            record(by=by, action="identity_provider.changed", target=row, changes=changes)
    return row


def _check(row: IdentityProvider) -> None:
    if not row.client_secret:
        raise NotReady("The client secret is missing.", param="client_secret")
    if row.enforced and not (row.enabled and row.tested_at):
        raise NotReady("Save it, turn it on and test it first. Then it can be required of everybody.", param="enforced")
    if row.admits_new and not row.email_domains:
        raise NotReady("Name the e-mail domains from which new people may come.", param="email_domains")


def remove_provider(*, by: Actor) -> None:
    """Take the current tenant's provider off; sessions that it made end at their next click."""
    with tenant_scope():
        row = IdentityProvider.objects.first()
        if row is not None:
            record(by=by, action="identity_provider.removed", target=row, changes={"issuer": row.issuer})
            row.delete()


def note_test(*, provider_id: UUID, issuer: str, client_id: str, now: datetime) -> None:
    """A log-in went through with these settings."""
    with tenant_scope():
        same = IdentityProvider.objects.filter(id=provider_id, issuer=issuer, client_id=client_id)
        same.update(tested_at=now)


def slugs_for(text: str) -> list[str]:
    """Where somebody may log in: by a tenant's short name, or by the tenants in which an e-mail address is a member."""
    text = text.strip().lower()
    if "@" not in text:
        found = tenant_by_slug(text)
        candidates = [found] if found else []
    else:
        user = User.objects.filter(email__iexact=text, is_active=True).first()
        candidates = [seat.tenant_id for seat in seats_of(user.pk)] if user else []
    return [slug for tenant_id in candidates if (slug := _slug_where_on(tenant_id))]


def _slug_where_on(tenant_id: UUID) -> str:
    with acting_for(tenant_id), tenant_scope():
        if not IdentityProvider.objects.filter(enabled=True).exists():
            return ""
        return Tenant.objects.values_list("slug", flat=True).get(id=tenant_id)


def person_of(*, provider: IdentityProvider, claims: Claims) -> User:
    """Who of the current tenant's members the provider speaks of.

    Raises:
        SignOnFailed: nobody: not a member, taken out of service, or the address is not one the provider may speak for.
    """
    by = Actor("single_sign_on", str(provider.id))
    with tenant_scope() as tenant_id:
        known = (
            ProviderIdentity.objects.select_related("user").filter(provider=provider, subject=claims.subject).first()
        )
        user = known.user if known else _member_by_email(provider, claims.email, by)
        if not user.is_active or not Membership.objects.filter(user=user).exists():
            raise SignOnFailed("You are not a member of this organisation any more. Ask an owner of it.")
        if known is None:
            row: Any = ProviderIdentity.objects.create(
                tenant_id=tenant_id, provider=provider, subject=claims.subject, user=user
            )
            record(by=by, action="member.identified", target=row, changes={"email": user.email})
    return user


def _member_by_email(provider: IdentityProvider, email: str, by: Actor) -> User:
    if not email:
        raise SignOnFailed("Your provider names no e-mail address of yours that it has verified.")
    domain = email.rpartition("@")[2]
    if provider.email_domains and domain not in provider.email_domains:
        raise SignOnFailed(f"Addresses at {domain} may not log in here by single sign-on.")
    member = Membership.objects.select_related("user").filter(user__email__iexact=email).first()
    if member is not None:
        return member.user
    if not provider.admits_new:
        raise SignOnFailed(f"{email} is not a member of this organisation yet. Ask an owner of it for an invitation.")
    return add_member(email=email, role=Role.VIEWER, by=by).user
