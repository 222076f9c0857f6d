"""What stands around the list of reports: the door at which other pages' buttons ask for one, and its progress."""

from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse

from tenants.desk.pages import DeskData, desk_page
from tenants.errors import AtriumError, InvalidRequest, NotFound

from .. import tasks
from ..exports import PLATFORM, Wanted
from ..exports.links import link_to
from ..exports.wanted import DIMENSIONS, WIDTHS
from ..models import Report


class AskedReport(forms.Form):
    """A report of whole days, as a button asks for it."""

    kind = forms.ChoiceField(choices=Report.Kind.choices)
    format = forms.ChoiceField(choices=Report.Format.choices)
    first_day = forms.DateField()
    last_day = forms.DateField()
    bucket_width = forms.ChoiceField(choices=[(name, name) for name in WIDTHS], required=False)
    group_by = forms.ChoiceField(choices=[(name, name) for name in DIMENSIONS], required=False)

    def wanted(self) -> Wanted:
        """What it says; without a dimension the sums stand by meter alone."""
        said = self.cleaned_data
        return Wanted(
            kind=said["kind"],
            start=midnight(said["first_day"]),
            end=midnight(said["last_day"]) + date.resolution,
            bucket_width=said["bucket_width"] or "1d",
            group_by=(said["group_by"],) if said["group_by"] else (),
        )


def midnight(day: date) -> datetime:
    """The first moment of a day (UTC)."""
    return datetime.combine(day, time(), UTC)


@desk_page
class MakeReport(DeskData):
    """Where buttons of other pages ask for a report; leads to the report's page."""

    name, path, area, reads = "make_report", "reports/make/", "reports", "change"
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """`tasks.start_report`."""
        asked = AskedReport(request.POST)
        if self.visitor.staff or not asked.is_valid():
            raise InvalidRequest("That is no report: choose its kind and its days under “Add report”.")
        report = tasks.start_report(
            wanted=asked.wanted(),
            format=asked.cleaned_data["format"],
            by=self.visitor.actor,
            now=datetime.now(UTC),
        )
        return HttpResponseRedirect(reverse("admin:billing_report_change", args=[report.id]))

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """A message at the list of reports."""
        messages.error(request, error.message)
        return HttpResponseRedirect(reverse("admin:billing_report_changelist"))


@desk_page
class ReportProgress(DeskData):
    """How far a report is, for its page's script."""

    name, path, area = "report_progress", "reports/<uuid:report_id>/progress/", "reports"

    def get(self, request: HttpRequest, report_id: UUID) -> HttpResponse:
        """State, per cent and, when it is made, where it opens; 404 where it is not the tenant's."""
        report = Report.objects.filter(id=report_id).exclude(tenant_id=PLATFORM).first()
        if report is None:
            return self.refused(request, NotFound("No such report."))
        return JsonResponse(progress_of(report))


def progress_of(report: Report) -> dict[str, Any]:
    """What the page and its script know of a report."""
    link = link_to(report, now=datetime.now(UTC))
    return {
        "state": report.state,
        "says": _says(report),
        "progress": 100 if report.state == Report.State.COMPLETED else report.progress,
        "over": report.state not in (Report.State.QUEUED, Report.State.IN_PROGRESS),
        "url": f"/v1/report_files/{link.token}" if link else None,
    }


def _says(report: Report) -> str:
    match Report.State(report.state):
        case Report.State.QUEUED:
            return "Waiting to be made."
        case Report.State.IN_PROGRESS:
            return f"Being made: {report.progress} %."
        case Report.State.COMPLETED:
            rows = "1 row" if report.rows == 1 else f"{report.rows or 0:,} rows"
            return f"Ready: {rows}, {_size(report.bytes or 0)}."
        case Report.State.FAILED:
            return (
                f"It could not be made: {(report.error or {}).get('message', 'no reason is known')} Ask for it again."
            )
        case Report.State.EXPIRED:
            return "Its file was removed after its time. Ask for it again: the figures are still there."


def _size(number: int) -> str:
    return f"{number / 1_000_000:.1f} MB" if number >= 1_000_000 else f"{max(1, number // 1000):,} kB"
