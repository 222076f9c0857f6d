"""Closing a month: its statement is written, and from then on the ledger takes no more rows of it.

Once and for good: a second closing finds the statement that stands, at the same moment too, and nothing reopens one.
What comes later is booked in the month that is open then: corrections, credits, a charge that was late. A month with
calls under way cannot be closed, because what they cost is not known; their holds end by lease at the latest.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog
from django.db import OperationalError, connection

from tenants.audit import SYSTEM, Actor, record
from tenants.errors import AtriumError, InvalidRequest
from tenants.ids import public_id
from tenants.models import Tenant
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import emit

from ..models import Reservation, Statement, StatementLine
from ..reservations import plain
from .lines import Draft, draft
from .months import following, format_month, start_of

log = structlog.get_logger("atrium.billing")

PREFIX = "stmt_"
#: On the set day months are closed after this: what is charged by the hour has come by then.
AFTER_MIDNIGHT = timedelta(hours=6)
_PATIENCE = "5s"
_LOCK_NOT_AVAILABLE = "55P03"


class MonthNotOver(AtriumError):
    """A month is closed when it is over."""

    status = 409
    type = "invalid_request_error"
    code = "month_not_over"


class CallsUnderWay(AtriumError):
    """What some calls of the month cost is not known yet."""

    status = 409
    type = "invalid_request_error"
    code = "calls_under_way"

    def __init__(self, month: date, *, count: int) -> None:
        super().__init__(
            f"{format_month(month)} cannot be closed yet: {count or 'some'} calls that began in it are under way. "
            "Try again when they have ended.",
            data={"under_way": count},
            headers={"retry-after": "60"},
        )


@dataclass(frozen=True)
class Closed:
    """A month's statement, and whether it was written now or stood already."""

    statement: Statement
    created: bool


def close_month(*, month: date, by: Actor, now: datetime) -> Closed:
    """Close a month of the current tenant.

    Raises:
        MonthNotOver: by the caller's clock or by the database's, which says in which month a call is.
        CallsUnderWay: some of its calls have not ended.
        InvalidRequest: the tenant was not there yet.
        SeveralCurrencies: its lines cannot be added up.
    """
    with tenant_scope(local={"lock_timeout": _PATIENCE}) as tenant_id:
        _take(tenant_id, month, now)
        standing = Statement.objects.filter(period_start=month).first()
        if standing is not None:
            return Closed(standing, created=False)
        under_way = Reservation.objects.filter(period_start=month, state=Reservation.State.OPEN).count()
        if under_way:
            raise CallsUnderWay(month, count=under_way)
        found = draft(month=month)
        if not found.lines:
            _require_tenant_then(tenant_id, month)
        statement = _write(tenant_id, found, by=by, now=now)
        changes = {"month": format_month(month), "total": plain(statement.total), "currency": statement.currency}
        record(by=by, action="statement.closed", target=statement, changes=changes)
        emit(type="statement.closed", data=changes, object_id=public_id(PREFIX, statement.id))
    return Closed(statement, created=True)


def _take(tenant_id: UUID, month: date, now: datetime) -> None:
    """Keep others from writing rows of the month; who does at this moment ends first."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT lock_month(%s, %s), clock_timestamp()", [tenant_id, month])
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise CallsUnderWay(month, count=0) from error
        database_now = cursor.fetchone()[1]
    end = start_of(following(month))
    if min(now, database_now) < end:
        raise MonthNotOver(f"{format_month(month)} is not over: it can be closed from {end:%Y-%m-%d} (UTC) on.")


def _require_tenant_then(tenant_id: UUID, month: date) -> None:
    """A month in which nothing was used has a statement too, but not one before the tenant's first."""
    created = Tenant.objects.filter(id=tenant_id).values_list("created_at", flat=True).first()
    if created is None or created >= start_of(following(month)):
        raise InvalidRequest(f"The tenant was not there in {format_month(month)}.", param="month")


def _write(tenant_id: UUID, found: Draft, *, by: Actor, now: datetime) -> Statement:
    totals = found.totals
    statement = Statement.objects.create(
        tenant_id=tenant_id,
        period_start=found.month,
        currency=found.currency,
        usage=totals.usage,
        corrections=totals.corrections,
        credits=totals.credits,
        total=totals.total,
        records=sum(line.records for line in found.lines),
        closed_by_type=by.type,
        closed_by_id=by.id,
        closed_at=now,
    )
    StatementLine.objects.bulk_create(
        StatementLine(tenant_id=tenant_id, statement=statement, position=position, **vars(line))
        for position, line in enumerate(found.lines, start=1)
    )
    return statement


def close_due(*, now: datetime) -> int:
    """Close the months whose day has come, by plan or tenant; returns how many.

    One that cannot be closed yet is logged, tried again at the next run, and does not keep the others waiting.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, month FROM due_statements(%s)", [now - AFTER_MIDNIGHT])
        found = cursor.fetchall()
    closed = 0
    for tenant_id, month in found:
        with acting_for(tenant_id):
            try:
                closed += close_month(month=month, by=SYSTEM, now=now).created
            except AtriumError as error:
                log.warning(
                    "month not closed", tenant_id=str(tenant_id), month=format_month(month), reason=error.message
                )
    return closed
