"""API keys: making, verifying, revoking.

A key reads `sk-<tenant, 32 hex>-<prefix, 8 hex>-<secret, 40 hex><checksum, 8 hex>`. The tenant inside lets the look-up
run in that tenant's scope; the prefix names the key in lists and logs; the checksum tells a typing error from a guess
without asking the database. Of the secret (160 bits) only a keyed hash is kept.
"""

import hmac
import re
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings

from .audit import Actor, record
from .errors import AtriumError, InvalidRequest, NotFound, PermissionDenied
from .groups import check_groups
from .models import ApiKey, Membership, PlatformKey, Tenant
from .permissions import KEY_SCOPES, PLATFORM_SCOPES, SPEAKS_FOR_ALL, role_may
from .scope import as_staff, tenant_scope


class InvalidKey(AtriumError):
    """No key, a malformed one, or one that is wrong, expired or revoked: the answer does not say which."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"

    def __init__(self, message: str) -> None:
        # RFC 9110: a 401 names the scheme.
        super().__init__(message, headers={"www-authenticate": "Bearer"})


class TenantSuspended(AtriumError):
    """The key is right, but its tenant was taken out of service."""

    status = 403
    type = "permission_error"
    code = "tenant_suspended"


_KEY = re.compile(r"(sk-([0-9a-f]{32})-([0-9a-f]{8})-([0-9a-f]{40}))([0-9a-f]{8})")
_PLATFORM_KEY = re.compile(r"(pk-([0-9a-f]{8})-([0-9a-f]{40}))([0-9a-f]{8})")


@dataclass(frozen=True)
class ParsedKey:
    """The readable parts of a key and its secret."""

    tenant_id: UUID
    prefix: str
    secret: str


@dataclass(frozen=True)
class Caller:
    """Who makes a request. `tenant_id`, `key_id` and `scopes` decide all that follows; the limits are the key's own.

    `groups` are what it finds beside what is open to all. A `limited` caller (its key has groups, or it speaks for an
    end user; see `tenants.end_users`) does not even learn of the rest.
    """

    tenant_id: UUID
    key_id: UUID
    key_prefix: str
    scopes: frozenset[str]
    currency: str
    retention_days: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_calls: int | None
    expires_at: datetime | None
    groups: frozenset[str] = frozenset()
    limited: bool = False
    end_user: str | None = None
    #: Allocation tags of the key, and the names of `metadata` that the tenant activated (`tenants.tags`).
    tags: tuple[tuple[str, str], ...] = ()
    allocation_tags: tuple[str, ...] = ()

    # What DRF and Django ask of a user.
    is_authenticated = True
    is_active = True

    @property
    def actor(self) -> Actor:
        """This caller, for the audit log."""
        return Actor("api_key", str(self.key_id))

    @property
    def sight(self) -> frozenset[str] | None:
        """The groups whose documents this caller may know of when it manages them; None: all documents."""
        return self.groups if self.limited else None

    @property
    def identity(self) -> bytes:
        """What, beside its key, decides what this caller is answered: its end user and groups. For fingerprints."""
        return repr((self.limited, self.end_user, sorted(self.groups))).encode()


def hash_secret(secret: str, *, key: bytes | None = None) -> str:
    """HMAC-SHA256 of `secret` under the newest of `API_KEY_HASH_KEYS` (or `key`), as 64 hex digits."""
    return hmac.new(key or settings.API_KEY_HASH_KEYS[0], secret.encode(), sha256).hexdigest()


def secret_matches(secret: str, stored: str) -> bool:
    """Whether `stored` is the hash of `secret` under any key of the list, in constant time for each."""
    return any(hmac.compare_digest(hash_secret(secret, key=key), stored) for key in settings.API_KEY_HASH_KEYS)


def format_key(tenant_id: UUID, prefix: str, secret: str) -> str:
    """The key as its owner sees it, once."""
    body = f"sk-{tenant_id.hex}-{prefix}-{secret}"
    return body + _checksum(body)


def parse_key(text: str) -> ParsedKey:
    """The parts of a key.

    Raises:
        InvalidKey: it is not shaped like one, or its checksum is off.
    """
    if (found := _KEY.fullmatch(text)) and _checksum(found[1]) == found[5]:
        return ParsedKey(UUID(hex=found[2]), found[3], found[4])
    raise InvalidKey("Incorrect API key provided. Check that you copied the whole key; it was shown once when made.")


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def issue(
    *,
    name: str,
    scopes: list[str],
    by: Actor,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrent_calls: int | None = None,
    groups: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    giver: Caller | None = None,
    now: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key for the current tenant; returns its row and the key itself, which exists nowhere else.

    Args:
        groups: what the key may find beside what is open to all.
        tags: its allocation tags, checked (`tenants.tags.check_tags`).
        giver: the caller that asks, who passes on no more than it has. None: a person or the operator, who may all.

    Raises:
        InvalidRequest: a scope that does not exist, none at all, or an end in the past (by `now`, where given); groups
            that cannot be, or beside the scope that speaks for every group.
        PermissionDenied: a scope or a group that is not the giver's to give.
    """
    circles = check_groups(groups, param="groups")
    if not scopes:
        raise InvalidRequest("A key needs at least one scope.", param="scopes")
    if unknown := sorted(set(scopes) - KEY_SCOPES):
        known = ", ".join(sorted(KEY_SCOPES))
        raise InvalidRequest(f"Unknown scopes: {', '.join(unknown)}. Known: {known}.", param="scopes")
    if circles and SPEAKS_FOR_ALL in scopes:
        raise InvalidRequest(
            f"A key with groups cannot have the scope {SPEAKS_FOR_ALL}, which speaks for every group.", param="groups"
        )
    if giver is not None:
        _check_giver(giver, set(scopes), circles)
    if now is not None and expires_at is not None and expires_at <= now:
        raise InvalidRequest("Invalid 'expires_at': must be in the future.", param="expires_at")
    prefix, secret = secrets.token_hex(4), secrets.token_hex(20)
    with tenant_scope() as tenant_id:
        key = ApiKey.objects.create(
            tenant_id=tenant_id,
            name=name,
            prefix=prefix,
            secret_hash=hash_secret(secret),
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            concurrent_calls=concurrent_calls,
            groups=circles,
            tags=dict(tags or {}),
        )
        # A list of two would be read as before and after.
        changes: dict[str, Any] = {"name": name, "scopes": [None, key.scopes]}
        changes |= {name: [None, value] for name, value in (("groups", circles), ("tags", key.tags)) if value}
        record(by=by, action="api_key.issued", target=key, changes=changes)
    return key, format_key(tenant_id, prefix, secret)


def _check_giver(giver: Caller, scopes: set[str], groups: list[str]) -> None:
    """A limited caller's keys have groups, all of them its own; others give groups only if they may speak for all."""
    if beyond := sorted(scopes - giver.scopes):
        raise PermissionDenied(f"A key may not grant scopes that it lacks itself: {', '.join(beyond)}.", param="scopes")
    if giver.limited and not groups:
        raise PermissionDenied("A caller limited to groups can only make keys with some of its groups.", param="groups")
    speaks_for_all = not giver.limited and SPEAKS_FOR_ALL in giver.scopes
    if (foreign := sorted(set(groups) - giver.groups)) and not speaks_for_all:
        raise PermissionDenied(
            f"A key may not grant groups that it lacks itself: {', '.join(foreign)}.", param="groups"
        )


def revoke(*, key_id: UUID, by: Actor, now: datetime) -> ApiKey:
    """Revoke a key of the current tenant; every process refuses it within `API_KEY_CACHE_SECONDS`.

    Raises:
        NotFound: no such key in this tenant.
    """
    with tenant_scope():
        key = ApiKey.objects.select_for_update().filter(id=key_id).first()
        if key is None:
            raise NotFound("No such API key.")
        if key.revoked_at is None:
            key.revoked_at = now
            key.save(update_fields=["revoked_at"])
            record(by=by, action="api_key.revoked", target=key)
    return key


LONGEST_OVERLAP = timedelta(days=30)


def rotate(*, key_id: UUID, overlap: timedelta, by: Actor, now: datetime) -> tuple[ApiKey, str]:
    """Give a key of the current tenant a new secret; the old one works until the overlap is over.

    Name, scopes, limits and budgets stay, and so does the prefix. Of two rotations within an overlap only the newer old
    secret goes on. Returns the row and the key, which exists nowhere else.

    Raises:
        NotFound: no such key of an application in this tenant.
        InvalidRequest: it was revoked or has expired; or an overlap below zero or above 30 days.
    """
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest("The old secret may go on for 0 to 30 days.", param="overlap")
    with tenant_scope() as tenant_id:
        key = ApiKey.objects.select_for_update().filter(id=key_id, purpose=ApiKey.Purpose.APPLICATION).first()
        if key is None:
            raise NotFound("No such API key.")
        if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
            raise InvalidRequest("This key has ended. Make a new one instead.")
        secret = secrets.token_hex(20)
        key.previous_hash, key.secret_hash = key.secret_hash, hash_secret(secret)
        key.previous_ends_at = now + overlap
        key.save(update_fields=["previous_hash", "secret_hash", "previous_ends_at"])
        until = f"{key.previous_ends_at:%Y-%m-%d %H:%M} UTC"
        record(by=by, action="api_key.rotated", target=key, changes={"old_secret_until": until})
    return key, format_key(tenant_id, key.prefix, secret)


def verify(parsed: ParsedKey, *, now: datetime) -> Caller:
    """The caller behind a key of the current tenant.

    Raises:
        InvalidKey: wrong, expired or revoked.
        TenantSuspended: the tenant is out of service.
    """
    with tenant_scope() as tenant_id:
        key = ApiKey.objects.filter(prefix=parsed.prefix).first()
        tenant = Tenant.objects.filter(id=tenant_id).first() if _is_held(key) else None
    if key is None or tenant is None:
        raise InvalidKey("Incorrect API key provided.")
    if not secret_matches(parsed.secret, key.secret_hash):
        if not key.previous_hash or not secret_matches(parsed.secret, key.previous_hash):
            raise InvalidKey("Incorrect API key provided.")
        # The old secret of a rotated key ends before the key does.
        ends = key.previous_ends_at or now
        key.expires_at = min(ends, key.expires_at or ends)
    return _caller(key, tenant, now=now)


def caller_of_key(*, key_id: UUID, now: datetime) -> Caller:
    """The caller that a key of the current tenant stands for: for work that goes on after its request.

    Raises:
        InvalidKey: gone, expired or revoked meanwhile.
        TenantSuspended: the tenant is out of service.
    """
    with tenant_scope() as tenant_id:
        key = ApiKey.objects.filter(id=key_id).first()
        tenant = Tenant.objects.filter(id=tenant_id).first() if _is_held(key) else None
    if key is None or tenant is None:
        raise InvalidKey("This API key has expired or was revoked.")
    return _caller(key, tenant, now=now)


def _is_held(key: ApiKey | None) -> bool:
    """Whether somebody may still use it: the playground's key of a person ends with the person's seat."""
    if key is None or key.user_id is None:
        return key is not None
    seat = Membership.objects.filter(user_id=key.user_id, user__is_active=True).first()
    return seat is not None and role_may(seat.role, "playground.change")


def _caller(key: ApiKey, tenant: Tenant, *, now: datetime) -> Caller:
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise InvalidKey("This API key has expired or was revoked.")
    if tenant.status != Tenant.Status.ACTIVE:
        raise TenantSuspended("This tenant is suspended. Ask the platform's operator.")
    return Caller(
        tenant_id=tenant.id,
        key_id=key.id,
        key_prefix=key.prefix,
        scopes=frozenset(key.scopes),
        currency=tenant.currency,
        retention_days=tenant.content_retention_days,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        concurrent_calls=key.concurrent_calls,
        expires_at=key.expires_at,
        groups=frozenset(key.groups),
        limited=bool(key.groups),
        tags=tuple(key.tags.items()),
        allocation_tags=tuple(tenant.allocation_tags),
    )


def note_use(*, key_id: UUID, now: datetime) -> None:
    """Keep when a key of the current tenant was last used; called once a cache period, not once a request."""
    with tenant_scope():
        ApiKey.objects.filter(id=key_id).update(last_used_at=now)


def issue_platform_key(*, name: str, scopes: Sequence[str] = PLATFORM_SCOPES) -> str:
    """Make a key for the platform's operator, or for its finance; returns it, once.

    Raises:
        InvalidRequest: a scope that does not exist, or none at all.
    """
    if not scopes or set(scopes) - set(PLATFORM_SCOPES):
        raise InvalidRequest(f"A platform key has scopes of: {', '.join(PLATFORM_SCOPES)}.", param="scopes")
    prefix, secret = secrets.token_hex(4), secrets.token_hex(20)
    with as_staff():
        PlatformKey.objects.create(
            name=name, prefix=prefix, secret_hash=hash_secret(secret), scopes=sorted(set(scopes))
        )
    body = f"pk-{prefix}-{secret}"
    return body + _checksum(body)


def verify_platform_key(text: str, *, now: datetime) -> PlatformKey:
    """The platform key behind `text`.

    Raises:
        InvalidKey: malformed, wrong, expired or revoked.
    """
    if (found := _PLATFORM_KEY.fullmatch(text)) and _checksum(found[1]) == found[4]:
        with as_staff():
            key = PlatformKey.objects.filter(prefix=found[2], revoked_at=None).first()
        if key and secret_matches(found[3], key.secret_hash) and (key.expires_at is None or key.expires_at > now):
            return key
    raise InvalidKey("Incorrect platform key provided.")
