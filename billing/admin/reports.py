"""Reports: asked for by people or again and again by schedules, and fetched."""

from datetime import UTC, date, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminDateWidget, UnfoldAdminSelectWidget

from tenants.desk.base import TenantAdmin, TenantForm
from tenants.scope import acting_for

from .. import tasks
from ..exports import PLATFORM, Wanted
from ..exports.links import link_to
from ..exports.requests import delete_report
from ..exports.schedules import create_schedule, delete_schedule, set_active
from ..models import Report, ReportSchedule
from ..periods import period_named
from .report_pages import midnight, progress_of

_GROUPS = {
    "api_key_id": "API key",
    "user_id": "End user",
    "model": "Model",
    "operation": "Kind of call",
    "batch": "Batch or not",
    "tags": "Allocation tags",
}
_WIDTHS = {"1h": "Hour", "1d": "Day", "1mo": "Month"}
_KINDS = {
    "costs": "Costs: what was charged, by the groups below",
    "usage": "Usage: units by the groups below",
    "ledger": "Ledger: every line, as it was charged",
    "focus": "FOCUS: the FinOps standard's cost and usage (CSV or Parquet)",
}


class ShapeForm(TenantForm):
    """What shall stand in a file."""

    kind = forms.ChoiceField(choices=_KINDS.items(), initial="costs", widget=UnfoldAdminSelectWidget)
    format = forms.ChoiceField(
        choices=(("csv", "CSV"), ("xlsx", "Excel"), ("parquet", "Parquet")), widget=UnfoldAdminSelectWidget
    )
    bucket_width = forms.ChoiceField(
        choices=_WIDTHS.items(),
        initial="1d",
        label="A row for each",
        help_text="Of usage, costs and FOCUS (UTC).",
        widget=UnfoldAdminSelectWidget,
    )
    group_by = forms.MultipleChoiceField(
        choices=_GROUPS.items(),
        initial=["api_key_id", "model"],
        required=False,
        label="Told apart by",
        help_text="Of usage and costs, beside the meter.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    def wanted(self, start: datetime, end: datetime) -> Wanted:
        """In a period."""
        said = self.cleaned_data
        return Wanted(
            kind=said["kind"],
            start=start,
            end=end,
            bucket_width=said["bucket_width"],
            group_by=tuple(said["group_by"]),
        )


class ReportForm(ShapeForm):
    """A new report of whole days: last month's, where nobody says another."""

    first_day = forms.DateField(widget=UnfoldAdminDateWidget, help_text="UTC.")
    last_day = forms.DateField(widget=UnfoldAdminDateWidget, help_text="This one too.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        month = period_named("last_month", now=datetime.now(UTC))
        self.initial.setdefault("first_day", month.start.date())
        self.initial.setdefault("last_day", month.last_day)


class ScheduleForm(ShapeForm):
    """A new schedule: its first report is of the day, week or month that we are in."""

    every = forms.ChoiceField(
        choices=(("day", "Day"), ("week", "Week, from Monday"), ("month", "Month")),
        initial="month",
        help_text="Made an hour after it is over (UTC).",
        widget=UnfoldAdminSelectWidget,
    )


@admin.register(Report)
class ReportAdmin(TenantAdmin):
    """Files of usage, costs, the ledger and FOCUS, with a link to each that is ready."""

    icon, label, area = "summarize", "Reports", "reports"
    empty_text = "No report has been made yet. Add one, or download the costs on the page Usage."
    offers = frozenset({"add", "delete"})
    list_display = ("created_at", "kind", "format", "shown_period", "shown_state", "rows", "shown_costs", "file")
    list_filter = ("kind", "format", "state")
    ordering = ("-created_at",)
    add_form = ReportForm
    add_fields = ("kind", "format", "first_day", "last_day", "bucket_width", "group_by")
    change_form_before_template = "desk/report_progress.html"
    fields = (
        "kind", "format", "shown_period", "shown_shape", "rows", "shown_costs", "created_at", "completed_at",
        "expires_at", "sha256", "asked_by_type",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Tenants' own: the platform's are nobody's here."""
        return super().get_queryset(request).exclude(tenant_id=PLATFORM)

    @display(description="Period (UTC)", ordering="start")
    def shown_period(self, row: Report) -> str:
        return f"{row.start:%-d %b %Y, %H:%M} – {row.end:%-d %b %Y, %H:%M}"

    @display(description="What stands in it")
    def shown_shape(self, row: Report | ReportSchedule) -> str:
        return _shape(row)

    @display(description="State", ordering="state")
    def shown_state(self, row: Report) -> str:
        return (
            f"{row.get_state_display()}, {row.progress} %"
            if row.state == row.State.IN_PROGRESS
            else row.get_state_display()
        )

    @display(description="Costs of the lines in it")
    def shown_costs(self, row: Report) -> str:
        return ", ".join(f"{cost} {currency}" for currency, cost in sorted(row.totals.items()))

    @display(description="File")
    def file(self, row: Report) -> str:
        """A link that opens it for an hour."""
        link = link_to(row, now=datetime.now(UTC))
        return format_html('<a href="/v1/report_files/{}">Download</a>', link.token) if link else "–"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Report:
        """Ask for it; a worker makes it."""
        asked = form.cleaned_data
        wanted = form.wanted(midnight(asked["first_day"]), midnight(asked["last_day"]) + date.resolution)
        return tasks.start_report(wanted=wanted, format=asked["format"], by=self._visitor(request).actor, now=now)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """To the report's own page, where its file will be."""
        return HttpResponseRedirect(reverse("admin:billing_report_change", args=[obj.pk]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With how far it is."""
        self._refuse_strangers(request)
        row = self.get_object(request, object_id)
        progress = None if row is None else progress_of(row)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "progress": progress})

    def delete_row(self, request: HttpRequest, row: Report) -> None:
        """With its file."""
        delete_report(report_id=row.id, by=self._visitor(request).actor)


@admin.register(ReportSchedule)
class ReportScheduleAdmin(TenantAdmin):
    """Reports that are made again for each day, week or month that is over."""

    icon, label, area = "schedule", "Report schedules", "reports"
    empty_text = "No report is made by itself yet. Add one for each week or month."
    offers = frozenset({"add", "delete"})
    list_display = ("name", "every", "kind", "format", "active", "shown_next")
    ordering = ("name",)
    actions = ("pause", "go_on")
    add_form = ScheduleForm
    add_fields = ("name", "every", "kind", "format", "bucket_width", "group_by")
    fields = readonly_fields = ("name", "every", "kind", "format", "shown_shape", "active", "shown_next", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportSchedule]:
        """Tenants' own: the platform's are nobody's here."""
        return super().get_queryset(request).exclude(tenant_id=PLATFORM)

    @display(description="What stands in it")
    def shown_shape(self, row: ReportSchedule) -> str:
        return _shape(row)

    @display(description="Next report (UTC)", ordering="due_at")
    def shown_next(self, row: ReportSchedule) -> str:
        if not row.active:
            return "paused"
        return f"of the {row.every} from {row.next_start:%-d %b %Y}, made at {row.due_at:%-d %b %Y, %H:%M}"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> ReportSchedule:
        """`create_schedule`; its period is the one that holds `now`."""
        said = form.cleaned_data
        return create_schedule(
            name=said["name"],
            every=said["every"],
            wanted=form.wanted(now, now),
            format=said["format"],
            by=self._visitor(request).actor,
            now=now,
        )

    def delete_row(self, request: HttpRequest, row: ReportSchedule) -> None:
        """`delete_schedule`."""
        delete_schedule(schedule_id=row.id, by=self._visitor(request).actor)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """For the actions."""
        return self.may(request, "change")

    @admin.action(description="Pause", permissions=["pause"])
    def pause(self, request: HttpRequest, queryset: QuerySet[ReportSchedule]) -> None:
        """`set_active` each."""
        self._set_active(request, queryset, active=False)

    @admin.action(description="Go on", permissions=["pause"])
    def go_on(self, request: HttpRequest, queryset: QuerySet[ReportSchedule]) -> None:
        """`set_active` each."""
        self._set_active(request, queryset, active=True)

    def _set_active(self, request: HttpRequest, queryset: QuerySet[ReportSchedule], *, active: bool) -> None:
        rows = list(queryset)
        for row in rows:
            with acting_for(row.tenant_id):
                set_active(schedule_id=row.id, active=active, by=self._visitor(request).actor, now=datetime.now(UTC))
        done = "go on with the period that we are in" if active else "are paused"
        self.message_user(request, f"{len(rows)} schedules {done}." if len(rows) != 1 else f"{rows[0].name}: {done}.")


def _shape(row: Report | ReportSchedule) -> str:
    """In words."""
    if row.kind == Report.Kind.LEDGER:
        return "every line"
    width = _WIDTHS.get(row.options["bucket_width"], "").lower()
    groups = [_GROUPS.get(name, name).lower() for name in row.options["group_by"]]
    told = f", told apart by {', '.join(groups)}" if groups and row.kind != Report.Kind.FOCUS else ""
    models = f", models {', '.join(row.options['models'])} only" if row.options["models"] else ""
    return f"a row for each {width}{told}{models}"
