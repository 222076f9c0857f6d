"""The audit log: one append-only row for each change, in the transaction that makes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models

from .models import AuditEvent
from .scope import current_tenant


@dataclass(frozen=True)
class Actor:
    """Who changed something: `type` is user, api_key, platform_key, command or system."""

    type: str
    id: str


COMMAND_LINE = Actor("command", "manage.py")
SYSTEM = Actor("system", "atrium")


def record(
    *,
    by: Actor,
    action: str,
    target: models.Model,
    changes: dict[str, Any] | None = None,
    tenant_id: UUID | None = None,
) -> AuditEvent:
    """Write the audit row of a change to `target`; call it in the scope (or staff session) of the change.

    Args:
        action: `<object>.<past participle>`, such as `api_key.revoked`.
        changes: field → new value, or field → [old, new]. Never content, never secrets.
        tenant_id: whose log; the current tenant's by default.
    """
    return AuditEvent.objects.create(
        tenant_id=tenant_id or current_tenant(),
        actor_type=by.type,
        actor_id=by.id,
        action=action,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
        changes=changes or {},
    )


def record_all(*, by: Actor, action: str, changed: Iterable[tuple[models.Model, dict[str, Any]]]) -> None:
    """`record` for many (target, changes) of the current tenant at once."""
    tenant_id = current_tenant()
    AuditEvent.objects.bulk_create(
        AuditEvent(
            tenant_id=tenant_id,
            actor_type=by.type,
            actor_id=by.id,
            action=action,
            object_type=target._meta.label_lower,
            object_id=str(target.pk),
            changes=changes,
        )
        for target, changes in changed
    )
