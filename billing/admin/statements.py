"""Statements and credit notes: a tenant reads its own; staff close months, give credit and see what it leaves."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.desk.base import TenantAdmin, TenantForm
from tenants.errors import InvalidRequest

from ..amounts import plain
from ..exports.cells import csv_lines
from ..models import CreditNote, Statement
from ..statements.api import csv_answer, csv_file
from ..statements.closing import close_month
from ..statements.credits import credit
from ..statements.documents import statement_json
from ..statements.lines import Totals
from ..statements.margins import Margin, margin_rows, margins
from ..statements.months import format_month, parse_month
from .columns import amount_column, chosen_month, recent_months, this_month
from .statement_lines import shown_lines, shown_totals
from .upcoming import as_file, closes_on


class ClosingForm(TenantForm):
    """Which month; there is nothing else to say."""

    month = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="Closed for good: nobody reopens it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        over = [month for month in recent_months() if month < this_month()]
        self.fields["month"].choices = [(format_month(month), f"{month:%B %Y}") for month in over]  # type: ignore[attr-defined]


class MonthFilter(admin.SimpleListFilter):
    """One month's."""

    title = "month"
    parameter_name = "month"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The last twelve."""
        return [(month.isoformat(), f"{month:%B %Y}") for month in recent_months()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The month's rows."""
        month = chosen_month(request)
        return queryset.filter(period_start=month) if month else queryset


@admin.register(Statement)
class StatementAdmin(TenantAdmin):
    """Closed months. For staff with the margin of the month that the filter names, or of this one, above the list."""

    icon, label, area = "request_quote", "Statements", "usage"
    empty_text = "No month is closed yet. The first statement is made after the end of the month."
    offers = frozenset({"add"})
    list_display = ("shown_month", "shown_usage", "shown_corrections", "shown_credits", "shown_total", "closed_at")
    list_filter = (MonthFilter,)
    ordering = ("-period_start", "-id")
    list_before_template = "admin/margins.html"
    add_form = ClosingForm
    add_fields = ("month",)
    change_form_before_template = "desk/closed_statement.html"
    fields = readonly_fields = ("shown_month", "shown_total", "closed_at", "closed_by_type")

    shown_usage = amount_column("usage", "Usage")
    shown_corrections = amount_column("corrections", "Corrections")
    shown_credits = amount_column("credits", "Credits")
    shown_total = amount_column("total", "Total without taxes")

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        """Not by a join, which would leave out the statements of erased tenants."""
        return []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Statement]:
        """With the tenants that there are."""
        rows = super().get_queryset(request)
        return rows.prefetch_related("tenant") if self._visitor(request).staff else rows

    @display(description="Month", ordering="period_start")
    def shown_month(self, row: Statement) -> str:
        return format_month(row.period_start)

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Statement:
        """`close_month`."""
        closed = close_month(month=parse_month(form.cleaned_data["month"]), by=self._visitor(request).actor, now=now)
        if not closed.created:
            raise InvalidRequest(f"{form.cleaned_data['month']} is closed already.", param="month")
        return closed.statement

    # --- files, and what is left ---

    def get_urls(self) -> list[URLPattern]:
        """Also the files: one statement's lines, and the margins of a month."""
        view = self.admin_site.admin_view
        return [
            path("margins.csv", view(self.margins_csv), name="billing_statement_margins"),
            path("<uuid:statement_id>/csv/", view(self.statement_csv), name="billing_statement_csv"),
            path("<uuid:statement_id>/json/", view(self.statement_json), name="billing_statement_json"),
            *super().get_urls(),
        ]

    def statement_csv(self, request: HttpRequest, statement_id: Any) -> HttpResponse:
        """One statement as a table."""
        return csv_answer(self._found(request, statement_id))

    def statement_json(self, request: HttpRequest, statement_id: Any) -> HttpResponse:
        """One statement as the API has it."""
        row = self._found(request, statement_id)
        shaped = statement_json(row, row.lines.order_by("position"))
        return as_file(shaped, f"statement-{format_month(row.period_start)}.json")

    def _found(self, request: HttpRequest, statement_id: Any) -> Statement:
        self._refuse_strangers(request)
        row = self.get_object(request, str(statement_id))
        if not isinstance(row, Statement):
            raise Http404
        return row

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With its lines and sums."""
        self._refuse_strangers(request)
        row: Any = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if row is not None:
            totals = Totals(row.usage, row.corrections, row.credits)
            shown = {
                "groups": shown_lines(row.lines.order_by("position"), row.currency),
                "totals": shown_totals(totals, row.currency),
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def margins_csv(self, request: HttpRequest) -> HttpResponse:
        """A month's margins by tenant, model and meter; staff only."""
        if not self._visitor(request).staff:
            raise PermissionDenied
        month = chosen_month(request) or this_month()
        groups = margins(first=month, last=month, group_by=["tenant", "model", "meter", "provider"])
        return csv_file(f"margins-{format_month(month)}.csv", csv_lines(margin_rows(groups)))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the month's margins by tenant, for staff."""
        staff = self._visitor(request).staff
        month = chosen_month(request) or this_month()
        rows = [_margin(group) for group in margins(first=month, last=month, group_by=["tenant"])] if staff else []
        context = {"shows_margins": staff, "month": month, "margins": rows, **(extra_context or {})}
        if not staff:
            open_month = this_month()
            context |= {"open_month": open_month, "closes": closes_on(open_month)}
        return super().changelist_view(request, context)


def _margin(group: Margin) -> dict[str, Any]:
    return {
        "tenant": group.of["tenant"] or group.of["tenant_id"],
        "currency": group.currency,
        "revenue": plain(group.revenue),
        "provider_cost": plain(group.provider_cost),
        "margin": plain(group.margin),
        "share": "" if group.share is None else f"{group.share:.2%}",
        "unmatched": plain(group.unmatched),
    }


class CreditForm(TenantForm):
    """What is given back, for which statement."""

    statement_id: forms.ModelChoiceField = forms.ModelChoiceField(
        queryset=None, label="Statement", widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["statement_id"]
        field.queryset = Statement.objects.select_related("tenant").order_by("-period_start", "tenant__slug")
        field.label_from_instance = lambda row: f"{row.tenant.slug} {row}: {plain(row.total)} {row.currency}"

    def clean_statement_id(self) -> Any:
        """The column holds the id."""
        return self.cleaned_data["statement_id"].id


@admin.register(CreditNote)
class CreditNoteAdmin(TenantAdmin):
    """Money given back: by staff, for what a statement charged. One line of the ledger is credited over REST."""

    icon, label, area = "undo", "Credit notes", "usage"
    empty_text = "No credit has been given."
    offers = frozenset({"add"})
    list_display = ("created_at", "shown_amount", "reason", "shown_month", "created_by_type")
    search_fields = ("reason",)
    ordering = ("-created_at",)
    add_form = CreditForm
    add_fields = ("statement_id", "amount", "reason")
    fields = readonly_fields = (
        "created_at", "shown_amount", "reason", "shown_month", "statement_id", "record_id", "created_by_type",
    )  # fmt: skip

    shown_amount = amount_column("amount", "Amount")

    @display(description="On the statement of", ordering="period_start")
    def shown_month(self, row: CreditNote) -> str:
        return format_month(row.period_start)

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> CreditNote:
        """`credit`."""
        data = form.cleaned_data
        return credit(
            amount=data["amount"],
            reason=data["reason"],
            statement_id=data["statement_id"],
            by=self._visitor(request).actor,
            now=now.astimezone(UTC),
        )
