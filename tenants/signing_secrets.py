"""Signing secrets: what a tenant's backend signs its end-user tokens with (`tenants.end_users`).

HMAC needs the secret itself to verify, so it is stored encrypted, not hashed. Several may be in use at once: rotating
makes a new one and lets the old one end after an overlap, so that no token is refused meanwhile. Whoever holds one
speaks for every group of the tenant; hence a scope of its own, which no key that is limited to groups can have.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from .audit import Actor, record
from .errors import AtriumError, InvalidRequest, NotFound
from .models import SigningSecret, Tenant
from .scope import current_tenant, tenant_scope

PREFIX = "esk_"
MAX_IN_USE = 10
LONGEST_OVERLAP = timedelta(days=30)


class TooManySecrets(AtriumError):
    """The tenant has as many signing secrets in use as it may."""

    status = 409
    type = "invalid_request_error"
    code = "too_many_signing_secrets"


@dataclass(frozen=True)
class Secret:
    """What verifies a token, and until when it does."""

    value: str
    expires_at: datetime | None


SigningSecrets = Mapping[UUID, Secret]


def load_secrets(*, now: datetime) -> SigningSecrets:
    """The current tenant's secrets that are in use, by id."""
    with tenant_scope():
        return {row.id: Secret(row.secret, row.expires_at) for row in SigningSecret.objects.filter(_in_use(now))}


def _in_use(now: datetime) -> Q:
    return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


def create_secret(*, name: str, by: Actor, now: datetime) -> tuple[SigningSecret, str]:
    """Make a secret for the current tenant; returns its row and the secret, which is shown once.

    Raises:
        TooManySecrets: ten are in use.
    """
    with tenant_scope():
        _one_at_a_time()
        return _create(name, by, now)


def rotate_secret(*, secret_id: UUID | None, overlap: timedelta, by: Actor, now: datetime) -> tuple[SigningSecret, str]:
    """Make the successor of a secret, which ends after `overlap`; returns the new one as `create_secret`.

    Raises:
        NotFound: no such secret in use in this tenant.
        InvalidRequest: an overlap below zero or above 30 days.
        TooManySecrets: ten are in use.
    """
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest("Invalid 'overlap_seconds': from 0 to 2592000 (30 days).", param="overlap_seconds")
    with tenant_scope():
        _one_at_a_time()
        before = SigningSecret.objects.filter(_in_use(now), id=secret_id).first() if secret_id else None
        if before is None:
            raise NotFound("No such signing secret in use.")
        successor, value = _create(before.name, by, now)
        ends = now + overlap
        before.expires_at = min(before.expires_at or ends, ends)
        before.save(update_fields=["expires_at"])
        record(by=by, action="signing_secret.rotated", target=before, changes={"successor": str(successor.id)})
    return successor, value


def revoke_secret(*, secret_id: UUID | None, by: Actor, now: datetime) -> SigningSecret:
    """Refuse a secret's tokens from now on; every process follows within `API_KEY_CACHE_SECONDS`.

    Raises:
        NotFound: no such secret in this tenant.
    """
    with tenant_scope():
        row = SigningSecret.objects.select_for_update().filter(id=secret_id).first() if secret_id else None
        if row is None:
            raise NotFound("No such signing secret.")
        if row.revoked_at is None:
            row.revoked_at = now
            row.save(update_fields=["revoked_at"])
            record(by=by, action="signing_secret.revoked", target=row)
    return row


def _one_at_a_time() -> None:
    """One change of a tenant's secrets at a time, so that two cannot both be the tenth."""
    Tenant.objects.select_for_update(no_key=True).get(id=current_tenant())


def _create(name: str, by: Actor, now: datetime) -> tuple[SigningSecret, str]:
    if SigningSecret.objects.filter(_in_use(now)).count() >= MAX_IN_USE:
        raise TooManySecrets(f"At most {MAX_IN_USE} signing secrets are in use at once. Revoke one first.")
    value = secrets.token_urlsafe(32)
    row = SigningSecret.objects.create(tenant_id=current_tenant(), name=name, secret=value)
    row.refresh_from_db(fields=["created_at"])
    record(by=by, action="signing_secret.created", target=row, changes={"name": name})
    return row, value
