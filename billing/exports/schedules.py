"""Reports made again: once for each day, week or month (UTC) that is over, however often or seldom anybody looks.

The schedule's row says which period is next; making its report and moving on are one transaction, and a report is unique
for schedule and period. Periods that were missed are made up for, one at a time.
"""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from tenants.audit import SYSTEM, Actor
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.scope import tenant_scope

from ..models import Report, ReportSchedule
from .requests import TooManyReports, create_report, note
from .wanted import Wanted, check_shape, wanted_of

PREFIX = "schedule_"
MOST_SCHEDULES = 50
#: Calls that were under way when the period ended are settled by then.
_SETTLED = timedelta(hours=1)
_MISSING = "No such schedule."
Every = ReportSchedule.Every


class ScheduleExists(AtriumError):
    """The tenant has a schedule of this name."""

    status = 409
    type = "invalid_request_error"
    code = "schedule_exists"


def period_of(day: date, every: str) -> tuple[date, date]:
    """First day and day after the last of the period that holds `day`; weeks begin on Monday."""
    match Every(every):
        case Every.DAY:
            return day, day + timedelta(days=1)
        case Every.WEEK:
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case Every.MONTH:
            first = day.replace(day=1)
            return first, (first + timedelta(days=32)).replace(day=1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _place(schedule: ReportSchedule, day: date) -> None:
    """Let the period that holds `day` be the next one."""
    schedule.next_start, after = period_of(day, schedule.every)
    schedule.due_at = _midnight(after) + _SETTLED


def create_schedule(*, name: str, every: str, wanted: Wanted, format: str, by: Actor, now: datetime) -> ReportSchedule:
    """Make a report for each period from the one that holds `now` on; `wanted`'s own period says nothing.

    Raises:
        InvalidRequest: a shape that no report has, or more schedules than a tenant gets.
        ScheduleExists: the name is taken.
    """
    check_shape(kind=wanted.kind, format=format, group_by=wanted.group_by)
    with tenant_scope() as tenant_id:
        if ReportSchedule.objects.count() >= MOST_SCHEDULES:
            raise InvalidRequest(f"There are {MOST_SCHEDULES} schedules, the most. Delete one that is not needed.")
        schedule = ReportSchedule(
            id=uuid7(),
            tenant_id=tenant_id,
            name=name,
            every=every,
            kind=wanted.kind,
            format=format,
            options=wanted.options(),
            asked_by_type=by.type,
            asked_by_id=by.id,
            created_at=now,
        )
        _place(schedule, now.astimezone(UTC).date())
        try:
            with transaction.atomic():
                schedule.save(force_insert=True)
        except IntegrityError as error:
            raise ScheduleExists(f"There is a schedule '{name}'. Use another name.", param="name") from error
        note(by=by, action="report_schedule.created", target=schedule, changes={"kind": wanted.kind, "every": every})
    return schedule


def set_active(*, schedule_id: UUID | None, active: bool, by: Actor, now: datetime) -> ReportSchedule:
    """Pause a schedule, or let it go on with the period that holds `now`.

    Raises:
        NotFound: there is none of this id.
    """
    with tenant_scope():
        schedule = _locked(schedule_id)
        if schedule.active != active:
            note(by=by, action="report_schedule.changed", target=schedule, changes={"active": [not active, active]})
            schedule.active = active
            if active:
                _place(schedule, now.astimezone(UTC).date())
            schedule.save(update_fields=["active", "next_start", "due_at"])
    return schedule


def delete_schedule(*, schedule_id: UUID | None, by: Actor) -> None:
    """No more reports; those that were made stay.

    Raises:
        NotFound: there is none of this id.
    """
    with tenant_scope():
        schedule = _locked(schedule_id)
        note(by=by, action="report_schedule.deleted", target=schedule, changes={"name": schedule.name})
        ReportSchedule.objects.filter(id=schedule.id).delete()


def find_schedule(schedule_id: UUID | None) -> ReportSchedule:
    """One of the current tenant's.

    Raises:
        NotFound: there is none of this id.
    """
    with tenant_scope():
        schedule = ReportSchedule.objects.filter(id=schedule_id).first() if schedule_id else None
    if schedule is None:
        raise NotFound(_MISSING)
    return schedule


def _locked(schedule_id: UUID | None) -> ReportSchedule:
    rows = ReportSchedule.objects.select_for_update()
    schedule = rows.filter(id=schedule_id).first() if schedule_id else None
    if schedule is None:
        raise NotFound(_MISSING)
    return schedule


def due(now: datetime, *, limit: int = 100) -> list[tuple[UUID, UUID]]:
    """(tenant, schedule) of those whose period is over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM due_report_schedules(%s, %s)", [now, limit])
        return list(cursor.fetchall())


def start_due(schedule_id: UUID, *, now: datetime) -> Report | None:
    """Queue the report of a schedule's next period; None where that is not over, or somebody else did."""
    with tenant_scope():
        schedule = ReportSchedule.objects.select_for_update().filter(id=schedule_id, active=True).first()
        if schedule is None or schedule.due_at > now:
            return None
        first, after = period_of(schedule.next_start, schedule.every)
        wanted = wanted_of(kind=schedule.kind, start=_midnight(first), end=_midnight(after), options=schedule.options)
        try:
            report = create_report(wanted=wanted, format=schedule.format, by=SYSTEM, now=now, schedule_id=schedule.id)
        except TooManyReports:
            return None  # it stays due
        _place(schedule, after)
        schedule.save(update_fields=["next_start", "due_at"])
    return report
