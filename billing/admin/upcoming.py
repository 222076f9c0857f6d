"""The statement of a month that is not closed, as far as it has come: to read, and as a file."""

from datetime import UTC, date, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from tenants.desk.pages import DeskPage, desk_page
from tenants.errors import AtriumError

from ..models import Subscription
from ..statements.api import csv_file
from ..statements.documents import draft_json, statement_csv
from ..statements.lines import Draft, draft
from ..statements.months import following, format_month, month_of, parse_month
from .statement_lines import shown_lines, shown_totals


@desk_page
class UpcomingStatement(DeskPage):
    """Of this month, or of the one that the address names."""

    name, path, area = "upcoming_statement", "statements/upcoming/", "usage"
    template_name = "desk/upcoming_statement.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page, or its lines as CSV or JSON."""
        if self.visitor.staff:
            return self.render_to_response(
                self.get_context_data(title="Statement of an open month", choose_tenant=True)
            )
        month, error = self._month()
        found = draft(month=month)
        match request.GET.get("format"):
            case "csv":
                lines = statement_csv(month, found.currency, "open", found.lines)
                return csv_file(f"statement-{format_month(month)}-open.csv", lines)
            case "json":
                return as_file(draft_json(found), f"statement-{format_month(month)}-open.json")
        return self.render_to_response(self.get_context_data(**_shown(month, found), error=error))

    def _month(self) -> tuple[date, str]:
        """And what is wrong with the one that is named."""
        now = month_of(datetime.now(UTC))
        try:
            month = parse_month(self.request.GET.get("month") or format_month(now))
        except AtriumError as error:
            return now, error.message
        return (month, "") if month <= now else (now, "That month has not begun. This is the one that we are in.")


def _shown(month: date, found: Draft) -> dict[str, Any]:
    return {
        "title": f"{month:%B %Y}, not closed yet",
        "month": month,
        "groups": shown_lines(found.lines, found.currency),
        "totals": shown_totals(found.totals, found.currency),
        "closes": closes_on(month),
    }


def closes_on(month: date) -> date | None:
    """The day on which a month of the current tenant is closed by itself; None where a person does it."""
    subscription = Subscription.objects.select_related("plan").get()
    day = subscription.closing_day or subscription.plan.closing_day
    return None if day is None else following(month).replace(day=day)


def as_file(content: dict[str, Any], name: str) -> HttpResponse:
    """JSON to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return JsonResponse(content, headers=headers, json_dumps_params={"indent": 2})
