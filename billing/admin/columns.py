"""Columns and filters that several pages have."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.filters import DeskFilter

from ..models import UsageRecord
from ..reservations import plain

_MONTHS_OFFERED = 12


def this_month() -> date:
    """The first day of the current month (UTC), which is how periods are named."""
    return datetime.now(UTC).date().replace(day=1)


def recent_months() -> list[date]:
    """The months a list offers, newest first."""
    last = this_month()
    number = last.year * 12 + last.month - 1
    return [date((number - back) // 12, (number - back) % 12 + 1, 1) for back in range(_MONTHS_OFFERED)]


def amount_column(name: str, title: str) -> Callable[[Any, Any], str]:
    """A column that shows an amount with its currency, without the zeros that the database pads it with."""

    @display(description=title, ordering=name)
    def column(self: Any, row: Any) -> str:
        return f"{plain(getattr(row, name))} {row.currency}"

    return column


class MonthFilter(DeskFilter):
    """One month of the ledger; a date hierarchy would read all of it to know which days there are."""

    title, parameter_name, nothing = "month", "month", "any"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The last twelve."""
        return [(month.isoformat(), f"{month:%B %Y}") for month in recent_months()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """The month's lines."""
        month = chosen_month(request)
        return queryset.filter(period_start=month) if month else queryset


def chosen_month(request: HttpRequest) -> date | None:
    """The month that the filter names, if it names one."""
    wanted = request.GET.get(MonthFilter.parameter_name)
    return next((month for month in recent_months() if month.isoformat() == wanted), None)
