"""`/v1/platform/margins`: what the platform earns. Platform keys only. Amounts are decimal strings."""

from datetime import UTC, date, datetime
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import PlatformFinanceView
from tenants.ids import public_id

from ..exports.cells import csv_lines
from ..reservations import plain
from .api import AnyAccept, csv_file
from .margins import DIMENSIONS, Margin, margin_rows, margins, totals
from .months import format_month, month_of, parse_month
from .shapes import CSV


class MarginQuery(serializers.Serializer):
    """Which months, and what to tell apart."""

    start_month = serializers.CharField(
        required=False, max_length=20, help_text="Such as 2026-10; this one by default."
    )
    end_month = serializers.CharField(required=False, max_length=20, help_text="Included; `start_month` by default.")
    group_by = serializers.ListField(child=serializers.ChoiceField(list(DIMENSIONS)), required=False)


class MarginObject(serializers.Serializer):
    """One group. Dimensions that were not grouped by are left out."""

    object = serializers.CharField()
    tenant_id = serializers.CharField(required=False)
    tenant = serializers.CharField(required=False, allow_null=True, help_text="Its slug; null where it was erased.")
    model = serializers.CharField(required=False)
    meter = serializers.CharField(required=False)
    provider = serializers.CharField(required=False, help_text="Empty where nobody said who billed the platform.")
    month = serializers.CharField(required=False)
    currency = serializers.CharField()
    revenue = serializers.CharField(help_text="What tenants are charged, corrections and credits included.")
    provider_cost = serializers.CharField(help_text="What providers take, where that is known.")
    margin = serializers.CharField()
    margin_share = serializers.CharField(allow_null=True, help_text="Of the revenue, such as 0.6250.")
    unmatched_revenue = serializers.CharField(help_text="The part of the revenue whose provider cost is not known.")


class MarginReport(serializers.Serializer):
    """The groups, and their total in each currency."""

    object = serializers.CharField()
    start_month = serializers.CharField()
    end_month = serializers.CharField()
    data = MarginObject(many=True)  # type: ignore[assignment]
    totals = MarginObject(many=True)


class MarginsView(PlatformFinanceView):
    """`/v1/platform/margins`."""

    @extend_schema(operation_id="get_margins", parameters=[MarginQuery], responses=MarginReport)
    def get(self, request: Request) -> Response:
        """Tenants' prices against providers' costs, by tenant where nothing else is said."""
        first, last, groups = _asked(request)
        return Response(
            {
                "object": "margin_report",
                "start_month": format_month(first),
                "end_month": format_month(last),
                "data": [_shape(group) for group in groups],
                "totals": [_shape(group) for group in totals(groups)],
            }
        )


class MarginsCsvView(PlatformFinanceView):
    """`/v1/platform/margins/csv`."""

    content_negotiation_class = AnyAccept

    @extend_schema(operation_id="get_margins_csv", parameters=[MarginQuery], responses=CSV)
    def get(self, request: Request) -> HttpResponse:
        """The same as a table, with its totals."""
        first, last, groups = _asked(request)
        name = f"margins-{format_month(first)}-{format_month(last)}.csv"
        return csv_file(name, csv_lines(margin_rows(groups)))


def _asked(request: Request) -> tuple[date, date, list[Margin]]:
    given: dict[str, Any] = {name: text for name, text in request.query_params.items() if "group_by" not in name}
    grouped = [*request.query_params.getlist("group_by[]"), *request.query_params.getlist("group_by")]
    query = MarginQuery(data={**given, **({"group_by": grouped} if grouped else {})})
    query.is_valid(raise_exception=True)
    asked = query.validated_data
    first = month_of(datetime.now(UTC))
    if "start_month" in asked:
        first = parse_month(asked["start_month"], param="start_month")
    last = parse_month(asked["end_month"], param="end_month") if "end_month" in asked else first
    chosen = list(dict.fromkeys(asked.get("group_by", ["tenant"])))
    return first, last, margins(first=first, last=last, group_by=chosen)


def _shape(group: Margin) -> dict[str, Any]:
    of = dict(group.of)
    if "tenant_id" in of:
        of["tenant_id"] = public_id("tenant_", of["tenant_id"])
    return {
        "object": "margin",
        **of,
        "currency": group.currency,
        "revenue": plain(group.revenue),
        "provider_cost": plain(group.provider_cost),
        "margin": plain(group.margin),
        "margin_share": None if group.share is None else str(group.share),
        "unmatched_revenue": plain(group.unmatched),
    }
