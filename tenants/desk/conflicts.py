"""Two people change one thing: the second is told who changed what, and what they typed is still in the form.

A form carries a mark of what stood in its fields when it was shown. If something else stands there when it is saved, it
is shown again with their input and a mark of what stands there now, so that saving once more is a decision. Saves of one
row wait for each other, so that none slips between the look and the change.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models

from ..audit_trail import trail_of
from ..managers import TenantModel

FIELD = "_seen"


def mark_of(form: Any, now: datetime) -> str:
    """What stood in the fields when the form was made, and when that was."""
    stood = [(name, repr(form.get_initial_for_field(field, name))) for name, field in sorted(form.fields.items())]
    return f"{sha256(repr(stood).encode()).hexdigest()[:32]}.{int(now.timestamp())}"


def wait_for_others(kind: str, object_id: str) -> None:
    """Until this transaction ends, whoever else saves the row waits. No lock on the row itself: those come in the order
    that each domain function chooses."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"admin {kind} {object_id}"])


def check(form: Any, row: models.Model | None) -> None:
    """For a bound form's `clean`; `row` is what it changes, as it is now (None: it is gone, or was not there yet).

    Raises:
        ValidationError: something else stands in its fields than was shown.
    """
    shown, _, moment = form.data.get(FIELD, "").partition(".")
    if not shown or not moment.isdecimal() or len(moment) > 11:
        return  # not from a page: nothing was shown
    if mark_of(form, datetime.now(UTC)).partition(".")[0] != shown:
        raise forms.ValidationError(_told(row, datetime.fromtimestamp(int(moment), UTC)), code="conflict")


def _told(row: models.Model | None, since: datetime) -> str:
    changes = "; ".join(_changes(row, since) if row else []) or "it is not on record who"
    return (
        f"This was changed while you had it open: {changes}. What you typed is still here. Save again to put it in the "
        "place of theirs, or open the page anew to see what stands there now."
    )


def _changes(row: models.Model, since: datetime) -> list[str]:
    if isinstance(row, TenantModel) or row._meta.label == "tenants.Tenant":
        found: list[Any] = [event for event in trail_of(row) if event.created_at >= since]
        return [f"{event.actor_name} ({event.created_at:%H:%M} UTC): {event.described}" for event in found]
    kind = ContentType.objects.get_for_model(row)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(row.pk), action_time__gte=since)
    return [
        f"{entry.user} ({entry.action_time:%H:%M} UTC): {entry.get_change_message()}"
        for entry in entries.select_related("user")[:10]
    ]
