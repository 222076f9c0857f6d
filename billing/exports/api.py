"""A tenant's reports and schedules over REST, and the links that open a report's file."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.downloads import Download
from tenants.idempotency import idempotent
from tenants.pagination import list_of
from tenants.scope import acting_for, leave_tenant

from . import asking, links
from .shapes import PAGING, DeletedReport, ReportObject, ReportRequest, ScheduleChange, ScheduleObject, ScheduleRequest


class ReportsView(asking.TenantAsker):
    """`/v1/reports`."""

    scopes = {"GET": "usage.read", "POST": "reports.write"}

    @extend_schema(operation_id="create_report", request=ReportRequest, responses=ReportObject)
    @idempotent()
    def post(self, request: Request) -> Response:
        """Ask for a file of usage, costs, lines of the ledger or FOCUS. It is made in the background; `report.ready`
        tells when, or ask for the report. The file is kept for thirty days.
        """
        return asking.ask(self, request, ReportRequest)

    @extend_schema(operation_id="list_reports", parameters=PAGING, responses=list_of(ReportObject))
    def get(self, request: Request) -> Response:
        """Reports, the newest first."""
        return asking.list_reports(self, request)


class ReportView(asking.TenantAsker):
    """`/v1/reports/{id}`."""

    scopes = {"GET": "usage.read", "DELETE": "reports.write"}

    @extend_schema(operation_id="get_report", responses=ReportObject)
    def get(self, request: Request, report_id: str) -> Response:
        """How far a report is, and a new link to its file where there is one."""
        return asking.get_report(self, request, report_id)

    @extend_schema(operation_id="delete_report", responses=DeletedReport)
    def delete(self, request: Request, report_id: str) -> Response:
        """Remove a report and its file; one that is being made is given up."""
        return asking.delete_report(self, request, report_id)


class SchedulesView(asking.TenantAsker):
    """`/v1/report_schedules`."""

    scopes = {"GET": "usage.read", "POST": "reports.write"}

    @extend_schema(operation_id="create_report_schedule", request=ScheduleRequest, responses=ScheduleObject)
    @idempotent()
    def post(self, request: Request) -> Response:
        """Make a report of each day, week or month, an hour after it is over; from the one that is under way on."""
        return asking.add_schedule(self, request, ScheduleRequest)

    @extend_schema(operation_id="list_report_schedules", parameters=PAGING, responses=list_of(ScheduleObject))
    def get(self, request: Request) -> Response:
        """Schedules, the newest first."""
        return asking.list_schedules(self, request)


class ScheduleView(asking.TenantAsker):
    """`/v1/report_schedules/{id}`."""

    scopes = {"GET": "usage.read", "POST": "reports.write", "DELETE": "reports.write"}

    @extend_schema(operation_id="get_report_schedule", responses=ScheduleObject)
    def get(self, request: Request, schedule_id: str) -> Response:
        """A schedule, and which period is next."""
        return asking.get_schedule(self, request, schedule_id)

    @extend_schema(operation_id="change_report_schedule", request=ScheduleChange, responses=ScheduleObject)
    def post(self, request: Request, schedule_id: str) -> Response:
        """Pause a schedule, or let it go on with the period that is under way."""
        return asking.change_schedule(self, request, schedule_id)

    @extend_schema(operation_id="delete_report_schedule", responses=DeletedReport)
    def delete(self, request: Request, schedule_id: str) -> Response:
        """End a schedule; the reports that it made stay."""
        return asking.delete_schedule(self, request, schedule_id)


class ReportFileView(APIView):
    """`/v1/report_files/{token}`: what a download link opens. The token is all that is asked for."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(exclude=True)
    def get(self, request: Request, token: str) -> Download:
        """The file."""
        tenant_id, report_id = links.read_link(token, now=datetime.now(UTC))
        with leave_tenant(), acting_for(tenant_id):
            found = links.open_report(report_id)
        response = Download(found.content, filename=found.filename, content_type=found.content_type)
        response["Content-Length"] = found.size
        return response
