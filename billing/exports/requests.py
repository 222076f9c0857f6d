"""Reports asked for, found and deleted, for the current tenant; the platform asks as `PLATFORM`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import models

from tenants import object_store
from tenants.audit import Actor, record
from tenants.errors import AtriumError, NotFound
from tenants.ids import public_id, uuid7
from tenants.models import Work
from tenants.scope import current_tenant, tenant_scope
from tenants.work import REPORTS, enqueue

from ..models import Report
from .wanted import PLATFORM, Wanted, check_period, check_shape

log = structlog.get_logger("atrium.billing")
PREFIX = "report_"
#: Reports of one tenant that wait or are being made.
MOST_OPEN = 20
_OPEN = (Report.State.QUEUED, Report.State.IN_PROGRESS)
_MISSING = "No such report."


class TooManyReports(AtriumError):
    """So many of the tenant's reports are not made yet."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_reports"


def create_report(*, wanted: Wanted, format: str, by: Actor, now: datetime, schedule_id: UUID | None = None) -> Report:
    """Queue a report. Rows of the ledger count that are written until it is made.

    Raises:
        InvalidRequest: a period or a shape that no report has.
        TooManyReports: wait for those that were asked for.
    """
    check_period(start=wanted.start, end=wanted.end)
    check_shape(kind=wanted.kind, format=format, group_by=wanted.group_by)
    with tenant_scope() as tenant_id:
        if Report.objects.filter(state__in=_OPEN).count() >= MOST_OPEN:
            raise TooManyReports(
                f"{MOST_OPEN} reports are waiting or being made. Ask again when one is ready.",
                data={"limit": {"kind": "open reports", "limit": MOST_OPEN}},
                headers={"retry-after": "30"},
            )
        report = Report(
            id=uuid7(),
            tenant_id=tenant_id,
            kind=wanted.kind,
            format=format,
            start=wanted.start,
            end=wanted.end,
            options=wanted.options(),
            schedule_id=schedule_id,
            asked_by_type=by.type,
            asked_by_id=by.id,
            created_at=now,
        )
        report.save(force_insert=True)
        enqueue(tenant_id, report.id, REPORTS)
        note(by=by, action="report.requested", target=report, changes={"kind": wanted.kind, "format": format})
    return report


def find_report(report_id: UUID | None) -> Report:
    """One of the current tenant's.

    Raises:
        NotFound: there is none of this id.
    """
    with tenant_scope():
        report = Report.objects.filter(id=report_id).first() if report_id else None
    if report is None:
        raise NotFound(_MISSING)
    return report


def delete_report(*, report_id: UUID | None, by: Actor) -> Report:
    """Remove a report and its file; one that is being made is given up.

    The bytes go first: where the object store is away nothing has happened.

    Raises:
        NotFound: there is none of this id.
        StorageUnavailable: try again.
    """
    report = find_report(report_id)
    if report.stored_as:
        object_store.delete(report.stored_as)
    with tenant_scope():
        Work.objects.filter(id=report.id).delete()
        if not Report.objects.filter(id=report.id).delete()[0]:
            raise NotFound(_MISSING)
        note(by=by, action="report.deleted", target=report)
    return report


def note(*, by: Actor, action: str, target: models.Model, changes: dict[str, Any] | None = None) -> None:
    """The audit row of a tenant's change. The platform has no log of its own: its changes stand in the process's."""
    if current_tenant() != PLATFORM:
        record(by=by, action=action, target=target, changes=changes)
    else:
        log.info(action, by=by.id, target=str(target.pk), **(changes or {}))


def report_json(report: Report) -> dict[str, Any]:
    """A report as clients and webhooks see it; times are Unix seconds, amounts decimal strings."""
    return {
        "id": public_id(PREFIX, report.id),
        "object": "report",
        "kind": report.kind,
        "format": report.format,
        "status": report.state,
        "progress": report.progress,
        "start_time": _seconds(report.start),
        "end_time": _seconds(report.end),
        **options_json(report.options),
        "schedule_id": public_id("schedule_", report.schedule_id) if report.schedule_id else None,
        "rows": report.rows,
        "bytes": report.bytes,
        "sha256": report.sha256 or None,
        "totals": [{"currency": currency, "cost": cost} for currency, cost in sorted(report.totals.items())],
        "error": report.error,
        "created_at": _seconds(report.created_at),
        "completed_at": _seconds(report.completed_at) if report.completed_at else None,
        "expires_at": _seconds(report.expires_at) if report.expires_at else None,
    }


def options_json(options: dict[str, Any]) -> dict[str, Any]:
    """What a report or schedule covers, as clients see it."""
    return {
        **{name: options[name] for name in ("bucket_width", "group_by", "models")},
        "api_key_ids": [public_id("key_", UUID(text)) for text in options["key_ids"]],
        "project_ids": [public_id("tenant_", UUID(text)) for text in options["tenant_ids"]],
    }


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
