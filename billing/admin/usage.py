"""The ledger."""

from datetime import date
from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from tenants.desk.base import TenantAdmin

from ..models import UsageRecord
from ..reservations import plain
from .columns import MonthFilter, amount_column, chosen_month, this_month


@admin.register(UsageRecord)
class UsageAdmin(TenantAdmin):
    """The ledger, line by line, under the month's totals by model."""

    icon, label, area = "receipt_long", "Usage", "usage"
    list_display = ("occurred_at", "operation", "model", "meter", "quantity", "shown_cost", "key")
    list_filter = (MonthFilter, "meter")
    search_fields = ("=request_id",)
    search_help_text = "The id of a request."
    ordering = ("-occurred_at",)
    list_before_template = "admin/month_totals.html"
    fields = (
        "occurred_at", "request_id", "attempt", "operation", "model", "meter", "quantity", "unit_price", "per",
        "estimated", "shown_cost", "key", "end_user", "period_start", "corrects",
    )  # fmt: skip
    readonly_fields = fields

    shown_cost = amount_column("cost", "Cost")

    @display(description="API key id")
    def key(self, row: UsageRecord) -> str:
        return str(row.key_id or "")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the totals of the month that the filter names, or of this one."""
        month = chosen_month(request) or this_month()
        context = {"month": month, "totals": self._totals(month) if self.may(request, "view") else []}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def _totals(self, month: date) -> list[dict[str, Any]]:
        """One query over the month: model, meter and currency with quantity and cost."""
        rows = UsageRecord.objects.filter(period_start=month).values("model", "meter", "currency")
        found = rows.annotate(quantity=Sum("quantity"), cost=Sum("cost")).order_by("model", "meter", "currency")
        return [{**row, "cost": plain(row["cost"])} for row in found]
