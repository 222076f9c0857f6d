"""The platform's reports and schedules over REST: as a tenant's, over all tenants."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.pagination import list_of

from . import asking
from .shapes import (
    PAGING,
    DeletedReport,
    PlatformReportRequest,
    PlatformScheduleRequest,
    ReportObject,
    ScheduleChange,
    ScheduleObject,
)


class PlatformReportsView(asking.PlatformAsker):
    """`/v1/platform/reports`."""

    @extend_schema(operation_id="create_platform_report", request=PlatformReportRequest, responses=ReportObject)
    def post(self, request: Request) -> Response:
        """As `POST /v1/reports`, over all tenants, with what the platform pays its providers."""
        return asking.ask(self, request, PlatformReportRequest)

    @extend_schema(operation_id="list_platform_reports", parameters=PAGING, responses=list_of(ReportObject))
    def get(self, request: Request) -> Response:
        """The platform's reports, the newest first."""
        return asking.list_reports(self, request)


class PlatformReportView(asking.PlatformAsker):
    """`/v1/platform/reports/{id}`."""

    @extend_schema(operation_id="get_platform_report", responses=ReportObject)
    def get(self, request: Request, report_id: str) -> Response:
        """How far a report is, and a new link to its file where there is one."""
        return asking.get_report(self, request, report_id)

    @extend_schema(operation_id="delete_platform_report", responses=DeletedReport)
    def delete(self, request: Request, report_id: str) -> Response:
        """Remove a report and its file."""
        return asking.delete_report(self, request, report_id)


class PlatformSchedulesView(asking.PlatformAsker):
    """`/v1/platform/report_schedules`."""

    @extend_schema(
        operation_id="create_platform_report_schedule", request=PlatformScheduleRequest, responses=ScheduleObject
    )
    def post(self, request: Request) -> Response:
        """As `POST /v1/report_schedules`, over all tenants."""
        return asking.add_schedule(self, request, PlatformScheduleRequest)

    @extend_schema(operation_id="list_platform_report_schedules", parameters=PAGING, responses=list_of(ScheduleObject))
    def get(self, request: Request) -> Response:
        """The platform's schedules, the newest first."""
        return asking.list_schedules(self, request)


class PlatformScheduleView(asking.PlatformAsker):
    """`/v1/platform/report_schedules/{id}`."""

    @extend_schema(operation_id="get_platform_report_schedule", responses=ScheduleObject)
    def get(self, request: Request, schedule_id: str) -> Response:
        """A schedule, and which period is next."""
        return asking.get_schedule(self, request, schedule_id)

    @extend_schema(operation_id="change_platform_report_schedule", request=ScheduleChange, responses=ScheduleObject)
    def post(self, request: Request, schedule_id: str) -> Response:
        """Pause a schedule, or let it go on."""
        return asking.change_schedule(self, request, schedule_id)

    @extend_schema(operation_id="delete_platform_report_schedule", responses=DeletedReport)
    def delete(self, request: Request, schedule_id: str) -> Response:
        """End a schedule."""
        return asking.delete_schedule(self, request, schedule_id)
