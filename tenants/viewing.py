"""Platform staff look at a tenant as its owner sees it: read-only, for an hour at most, and in the tenant's own audit log.

Each look is a row with the reason that was given. It ends when it is stopped, at log-out, or when its time is over; what
nobody ended is ended by a sweep, so that the log always has both moments.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from .audit import SYSTEM, Actor, record
from .errors import InvalidRequest, NotFound
from .models import StaffView, Tenant
from .scope import acting_for, tenant_scope

LONGEST = timedelta(minutes=60)
_LONGEST_REASON = 300


def start_view(*, tenant_id: UUID, staff_id: UUID, reason: str, now: datetime) -> StaffView:
    """Begin to look at a tenant; returns the row that says until when.

    Raises:
        InvalidRequest: no reason, or one that is too long.
        NotFound: no such tenant.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InvalidRequest(f"Say why, in at most {_LONGEST_REASON} characters.", param="reason")
    with acting_for(tenant_id), tenant_scope():
        if not Tenant.objects.filter(id=tenant_id).exists():
            raise NotFound("No such tenant.")
        view = StaffView.objects.create(
            tenant_id=tenant_id, staff_id=staff_id, reason=reason, started_at=now, ends_at=now + LONGEST
        )
        until = f"{view.ends_at:%Y-%m-%d %H:%M} UTC"
        changes = {"reason": reason, "until": until}
        record(by=_staff(staff_id), action="staff_view.started", target=view, changes=changes)
    return view


def view_in_force(*, tenant_id: UUID, view_id: UUID, staff_id: UUID, now: datetime) -> StaffView | None:
    """The look that a session claims to have, or None where it is over or another person's; ends it when its time is."""
    with acting_for(tenant_id), tenant_scope():
        view = StaffView.objects.filter(id=view_id, staff_id=staff_id, ended_at=None).first()
        if view is None or view.ends_at > now:
            return view
        _end(view, by=SYSTEM, how="its time was over", now=now)
    return None


def end_view(*, tenant_id: UUID, view_id: UUID, staff_id: UUID, how: str, now: datetime) -> None:
    """End a look, once; `how` stands in the audit row."""
    with acting_for(tenant_id), tenant_scope():
        view = StaffView.objects.filter(id=view_id, staff_id=staff_id).first()
        if view is not None:
            _end(view, by=_staff(staff_id), how=how, now=now)


def end_overdue_views(*, now: datetime) -> int:
    """End what nobody stopped and whose time is over; returns how many. Twice does no more than once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM overdue_staff_views(%s)", [now])
        overdue = cursor.fetchall()
    for tenant_id, view_id in overdue:
        with acting_for(tenant_id), tenant_scope():
            view = StaffView.objects.filter(id=view_id).first()
            if view is not None:
                _end(view, by=SYSTEM, how="its time was over", now=now)
    return len(overdue)


def _end(view: StaffView, *, by: Actor, how: str, now: datetime) -> None:
    ended = min(now, view.ends_at)
    if StaffView.objects.filter(id=view.id, ended_at=None).update(ended_at=ended):
        record(by=by, action="staff_view.ended", target=view, changes={"how": how})


def _staff(staff_id: UUID) -> Actor:
    return Actor("staff", str(staff_id))
