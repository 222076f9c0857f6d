"""Reports: asked for by people, and fetched."""

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDateWidget

from tenants.desk.base import TenantAdmin, TenantForm

from .. import tasks
from ..exports import PLATFORM, Wanted
from ..exports.links import link_to
from ..exports.requests import delete_report
from ..models import Report


class ReportForm(TenantForm):
    """A new report of whole days."""

    first_day = forms.DateField(widget=UnfoldAdminDateWidget, help_text="UTC.")
    last_day = forms.DateField(widget=UnfoldAdminDateWidget, help_text="This one too.")


@admin.register(Report)
class ReportAdmin(TenantAdmin):
    """Files of usage, costs, the ledger and FOCUS, with a link to each that is ready."""

    icon, label, area = "summarize", "Reports", "reports"
    offers = frozenset({"add", "delete"})
    list_display = ("created_at", "kind", "format", "shown_period", "shown_state", "rows", "shown_costs", "file")
    list_filter = ("kind", "format", "state")
    ordering = ("-created_at",)
    add_form = ReportForm
    add_fields = ("kind", "format", "first_day", "last_day")
    fields = (
        "kind", "format", "shown_period", "options", "shown_state", "error", "rows", "bytes", "sha256", "shown_costs",
        "file", "created_at", "completed_at", "expires_at", "asked_by_type", "asked_by_id",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Tenants' own: the platform's are nobody's here."""
        return super().get_queryset(request).exclude(tenant_id=PLATFORM)

    @display(description="Period (UTC)", ordering="start")
    def shown_period(self, row: Report) -> str:
        return f"{row.start:%Y-%m-%d %H:%M} – {row.end:%Y-%m-%d %H:%M}"

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
        start, end = (datetime.combine(asked[name], time(), UTC) for name in ("first_day", "last_day"))
        wanted = Wanted(kind=asked["kind"], start=start, end=end + date.resolution)
        return tasks.start_report(wanted=wanted, format=asked["format"], by=self._visitor(request).actor, now=now)

    def delete_row(self, request: HttpRequest, row: Report) -> None:
        """With its file."""
        delete_report(report_id=row.id, by=self._visitor(request).actor)
