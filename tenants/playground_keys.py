"""The playground's keys: a page that calls the public API in its reader's name needs one, for a while.

A person has one row a tenant, so that what she spends there stands under one name and can have a budget. Each time the
page asks, the row gets a new secret for half an hour, and the secret before it is refused. The key can do what the
playground does and no more; it ends with the person's seat (`tenants.api_keys` asks for that when it verifies one).
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from .api_keys import format_key, hash_secret
from .audit import Actor, record
from .errors import NotFound
from .groups import check_groups
from .models import ApiKey, Membership
from .scope import tenant_scope

LIFETIME = timedelta(minutes=30)
SCOPES = ("inference", "vector_stores.read")


def issue_playground_key(*, user_id: UUID, by: Actor, now: datetime, groups: Sequence[str] = ()) -> tuple[ApiKey, str]:
    """A key for a member of the current tenant until `now` + `LIFETIME`; ends the one before it.

    Args:
        groups: what she wants to find beside what is open to all, to see what a reader in them would.

    Raises:
        NotFound: no such member.
        InvalidRequest: groups that cannot be.
    """
    circles = check_groups(groups, param="groups")
    prefix, secret = secrets.token_hex(4), secrets.token_hex(20)
    with tenant_scope() as tenant_id:
        # Locked, so that two pages of one person do not both make her first.
        seat = Membership.objects.select_for_update(no_key=True, of=("self",)).filter(user_id=user_id).first()
        if seat is None:
            raise NotFound("Only a member of the tenant has a playground.")
        key, _ = ApiKey.objects.update_or_create(
            tenant_id=tenant_id,
            purpose=ApiKey.Purpose.PLAYGROUND,
            user_id=user_id,
            defaults={
                "name": f"Playground of {seat.user.email}"[:100],
                "prefix": prefix,
                "secret_hash": hash_secret(secret),
                "scopes": list(SCOPES),
                "groups": circles,
                "expires_at": now + LIFETIME,
                "revoked_at": None,
            },
        )
        record(
            by=by, action="playground_key.issued", target=key, changes={"groups": [None, circles]} if circles else {}
        )
    return key, format_key(tenant_id, prefix, secret)
