"""The ledger, line by line. Its sums are the usage page's."""

from datetime import UTC, datetime, timedelta

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.filters import WhenFilter, as_uuid
from tenants.desk.long_lists import LongListAdmin

from ..models import UsageRecord
from .columns import MonthFilter, amount_column, chosen_month


class LedgerMonthFilter(MonthFilter):
    """The same lines, by the index of their time: a line's month is that of its moment (the integrity check says so)."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """The month's lines."""
        month = chosen_month(request)
        if month is None:
            return queryset
        since = datetime(month.year, month.month, 1, tzinfo=UTC)
        return queryset.filter(occurred_at__gte=since, occurred_at__lt=(since + timedelta(days=32)).replace(day=1))


@admin.register(UsageRecord)
class UsageAdmin(LongListAdmin):
    """The ledger, line by line."""

    icon, label, area = "receipt_long", "Ledger", "usage"
    list_display = ("occurred_at", "operation", "model", "meter", "quantity", "shown_cost", "key")
    list_filter = (LedgerMonthFilter, WhenFilter)
    search_help_text = "The id of a request"
    empty_text = "Nothing has been used yet. Each request writes its lines here when it ends."
    made_at = "occurred_at"
    fields = (
        "occurred_at", "request_id", "attempt", "operation", "model", "meter", "quantity", "unit_price", "per",
        "estimated", "shown_cost", "key", "end_user", "period_start", "corrects",
    )  # fmt: skip
    readonly_fields = fields

    shown_cost = amount_column("cost", "Cost")

    @display(description="API key id")
    def key(self, row: UsageRecord) -> str:
        return str(row.key_id or "")

    def matching(self, rows: QuerySet, term: str) -> QuerySet:
        """The lines of a request, then what corrects lines; the ledger's indexes find either by itself."""
        ident = as_uuid(term)
        if ident is None:
            return rows.none()
        lines = list(rows.filter(request_id=ident, corrects__isnull=True).values_list("id", flat=True))
        return rows.filter(Q(id__in=lines) | Q(corrects__in=lines))
