"""What the views of reports do, for a tenant and for the platform alike: one call into the domain, one answer."""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import cast

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import PlatformFinanceView, TenantAPIView
from tenants.audit import Actor
from tenants.authentication import caller_of
from tenants.ids import parse_public_id
from tenants.models import PlatformKey
from tenants.pagination import page
from tenants.scope import acting_for, tenant_scope

from .. import tasks
from ..models import Report, ReportSchedule
from . import requests, schedules
from .shapes import ScheduleChange, moment, shaped, shaped_schedule, valid, wanted_of_request
from .wanted import PLATFORM


class TenantAsker(TenantAPIView):
    """The tenant's own reports."""

    def acting(self) -> AbstractContextManager[None]:
        """The authenticator has said for whom."""
        return nullcontext()

    def actor(self, request: Request) -> Actor:
        """The key."""
        return caller_of(request).actor


class PlatformAsker(PlatformFinanceView):
    """The platform's reports, over all tenants."""

    def acting(self) -> AbstractContextManager[None]:
        """In the platform's own place of the queue."""
        return acting_for(PLATFORM)

    def actor(self, request: Request) -> Actor:
        """The platform key."""
        return Actor("platform_key", str(cast(PlatformKey, request.user).pk))


Asker = TenantAsker | PlatformAsker


def ask(view: Asker, request: Request, shape: type[serializers.Serializer]) -> Response:
    """Queue a report."""
    asked, now = valid(shape, request), datetime.now(UTC)
    end = moment(asked["end_time"]) if "end_time" in asked else now
    with view.acting():
        report = tasks.start_report(
            wanted=wanted_of_request(asked, moment(asked["start_time"]), end),
            format=asked["format"],
            by=view.actor(request),
            now=now,
        )
    return Response(shaped(report, request))


def list_reports(view: Asker, request: Request) -> Response:
    """A page of reports."""
    with view.acting(), tenant_scope():
        rows = Report.objects.all()
        return Response(page(rows, request, prefix=requests.PREFIX, shape=lambda report: shaped(report, request)))


def get_report(view: Asker, request: Request, report_id: str) -> Response:
    """One report."""
    with view.acting():
        return Response(shaped(requests.find_report(parse_public_id(requests.PREFIX, report_id)), request))


def delete_report(view: Asker, request: Request, report_id: str) -> Response:
    """Remove one."""
    with view.acting():
        requests.delete_report(report_id=parse_public_id(requests.PREFIX, report_id), by=view.actor(request))
    return Response({"id": report_id, "object": "report.deleted", "deleted": True})


def add_schedule(view: Asker, request: Request, shape: type[serializers.Serializer]) -> Response:
    """Add a schedule."""
    asked, now = valid(shape, request), datetime.now(UTC)
    with view.acting():
        schedule = schedules.create_schedule(
            name=asked["name"],
            every=asked["every"],
            wanted=wanted_of_request(asked, now, now),
            format=asked["format"],
            by=view.actor(request),
            now=now,
        )
    return Response(shaped_schedule(schedule))


def list_schedules(view: Asker, request: Request) -> Response:
    """A page of schedules."""
    with view.acting(), tenant_scope():
        rows = ReportSchedule.objects.all()
        return Response(page(rows, request, prefix=schedules.PREFIX, shape=shaped_schedule))


def get_schedule(view: Asker, request: Request, schedule_id: str) -> Response:
    """One schedule."""
    with view.acting():
        return Response(shaped_schedule(schedules.find_schedule(parse_public_id(schedules.PREFIX, schedule_id))))


def change_schedule(view: Asker, request: Request, schedule_id: str) -> Response:
    """Pause one, or let it go on."""
    active = valid(ScheduleChange, request)["active"]
    ident = parse_public_id(schedules.PREFIX, schedule_id)
    with view.acting():
        schedule = schedules.set_active(schedule_id=ident, active=active, by=view.actor(request), now=datetime.now(UTC))
    return Response(shaped_schedule(schedule))


def delete_schedule(view: Asker, request: Request, schedule_id: str) -> Response:
    """End one."""
    with view.acting():
        schedules.delete_schedule(schedule_id=parse_public_id(schedules.PREFIX, schedule_id), by=view.actor(request))
    return Response({"id": schedule_id, "object": "report_schedule.deleted", "deleted": True})
