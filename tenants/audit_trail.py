"""Reading the audit log: the trail of one object, and who stands behind an actor's id."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import models

from .models import ApiKey, AuditEvent, User

_MOST_SHOWN = 200


def describe(event: AuditEvent) -> str:
    """What an event changed, as a line: `role: viewer → admin; …`."""
    return "; ".join(f"{name}: {_described(value)}" for name, value in event.changes.items())


def before_and_after(event: AuditEvent) -> list[tuple[str, str, str]]:
    """What an event changed, line by line: name, what stood there before (empty where nothing did), and after."""
    lines = []
    for name, value in event.changes.items():
        changed = isinstance(value, list) and len(value) == 2 and not isinstance(value[0], list)
        before, after = value if changed else (None, value)
        lines.append((name.replace("_", " "), "" if before is None else _shown(before), _shown(after)))
    return lines


def _described(value: Any) -> str:
    match value:
        case [before, after] if not isinstance(before, list):
            return f"{'none' if before is None else _shown(before)} → {_shown(after)}"
        case _:
            return _shown(value)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def trail_of(row: models.Model) -> list[AuditEvent]:
    """What was done to a row, newest first, each with `actor_name` and `described`; staff see any tenant's."""
    events = AuditEvent.objects.filter(object_type=row._meta.label_lower, object_id=str(row.pk))
    found = name_actors(events.order_by("-created_at")[:_MOST_SHOWN])
    for event in found:
        event.described = describe(event)
    return found


def newest_of(row: models.Model, *, action: str) -> AuditEvent | None:
    """When `action` was last done to a row, and by whom; staff see any tenant's."""
    events = AuditEvent.objects.filter(object_type=row._meta.label_lower, object_id=str(row.pk), action=action)
    return events.order_by("-created_at").first()


def name_actors(events: Iterable[AuditEvent]) -> list[AuditEvent]:
    """The same events, each with an `actor_name`: a member's e-mail address, an API key's name, or what else acted.

    People are looked up by the ids that stand in the tenant's own log, so it shows nobody who did not act there. Which
    of the platform's staff acted is the platform's to know.
    """
    found = list(events)
    people = {UUID(event.actor_id) for event in found if event.actor_type == "user"}
    names = {str(user.id): user.email for user in User.objects.filter(id__in=people)}
    keys = {UUID(event.actor_id) for event in found if event.actor_type == "api_key"}
    names |= {str(key.id): f"API key {key.name}" for key in ApiKey.objects.filter(id__in=keys)}
    for event in found:
        kind = event.actor_type.replace("_", " ")
        shown = "platform staff" if event.actor_type == "staff" else f"{kind} {event.actor_id}"
        event.actor_name = names.get(event.actor_id, shown)
    return found
