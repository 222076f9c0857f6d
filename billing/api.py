"""Finance over REST, in OpenAI's shape: usage and costs by time bucket. Aggregates of the ledger, exact to the last digit.

The tenant is the one project of its organization. Amounts are JSON numbers with all their digits; a client that sums
money should read them as decimals.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.ids import parse_public_id, public_id

from . import reports
from .models import Meter

#: Bucket width → (buckets a page by default, at most).
_USAGE_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
_COST_LIMITS = {"1d": (7, 180)}
_PAGE = "page_"
_LATEST = 253_402_300_799  # the last second of the year 9999


class UsageQuery(serializers.Serializer):
    """Query parameters of the usage endpoints."""

    dimensions = ("project_id", "user_id", "api_key_id", "model")
    limits = _USAGE_LIMITS

    start_time = serializers.IntegerField(min_value=0, max_value=_LATEST, help_text="Unix seconds, inclusive.")
    end_time = serializers.IntegerField(
        min_value=0, max_value=_LATEST, required=False, help_text="Unix seconds, exclusive; now where missing."
    )
    bucket_width = serializers.ChoiceField(["1m", "1h", "1d"], default="1d")
    group_by = serializers.ListField(child=serializers.ChoiceField(dimensions), default=list)
    project_ids = serializers.ListField(child=serializers.CharField(), required=False)
    user_ids = serializers.ListField(child=serializers.CharField(), required=False)
    api_key_ids = serializers.ListField(child=serializers.CharField(), required=False)
    models = serializers.ListField(child=serializers.CharField(), required=False)
    limit = serializers.IntegerField(min_value=1, required=False, help_text="Buckets a page.")
    page = serializers.CharField(required=False, help_text="`next_page` of the page before.")


class CostsQuery(UsageQuery):
    """Query parameters of the costs endpoint."""

    dimensions = ("project_id", "user_id", "api_key_id", "line_item")
    limits = _COST_LIMITS

    bucket_width = serializers.ChoiceField(["1d"], default="1d")
    group_by = serializers.ListField(child=serializers.ChoiceField(dimensions), default=list)
    line_items = serializers.ListField(child=serializers.CharField(), required=False)


class UsageResult(serializers.Serializer):
    """Figures of one group in one bucket; dimensions that were not grouped by are null."""

    object = serializers.CharField()
    input_tokens = serializers.IntegerField(help_text="Cached ones included.")
    num_model_requests = serializers.IntegerField()
    project_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    api_key_id = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)


class CompletionsResult(UsageResult):
    """Usage of text models."""

    output_tokens = serializers.IntegerField()
    input_cached_tokens = serializers.IntegerField()
    output_reasoning_tokens = serializers.IntegerField()
    num_cache_hits = serializers.IntegerField(help_text="Calls that the response cache answered.")
    cache_hit_ratio = serializers.FloatField(allow_null=True, help_text="Their share of all calls.")
    batch = serializers.BooleanField(allow_null=True)
    service_tier = serializers.CharField(allow_null=True)


class Amount(serializers.Serializer):
    """Money."""

    value = serializers.DecimalField(max_digits=24, decimal_places=12, coerce_to_string=False)
    currency = serializers.CharField(help_text="ISO 4217, lower case.")


class CostsResult(serializers.Serializer):
    """What one group costs in one bucket."""

    object = serializers.CharField()
    amount = Amount()
    line_item = serializers.CharField(allow_null=True)
    project_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    api_key_id = serializers.CharField(allow_null=True)
    quantity = serializers.IntegerField(allow_null=True)
    quantity_unit = serializers.CharField(allow_null=True)


def _page_of(result: type[serializers.Serializer]) -> Any:
    """The OpenAPI schema of a page of buckets of `result`."""
    stem = result.__name__.removesuffix("Result")
    bucket = type(
        f"{stem}Bucket",
        (serializers.Serializer,),
        {
            "object": serializers.CharField(),
            "start_time": serializers.IntegerField(),
            "end_time": serializers.IntegerField(),
            "results": result(many=True),
        },
    )
    return type(
        f"{stem}Page",
        (serializers.Serializer,),
        {
            "object": serializers.CharField(),
            "data": bucket(many=True),
            "has_more": serializers.BooleanField(),
            "next_page": serializers.CharField(allow_null=True),
        },
    )


class FinanceView(TenantAPIView):
    """A report: reads the query, asks for one page of buckets, shapes each row."""

    scopes = {"GET": "usage.read"}
    query: type[UsageQuery] = UsageQuery

    def report(self, within: reports.Range, selection: reports.Selection) -> list[reports.Bucket]:
        """The buckets of one page."""
        raise NotImplementedError

    def shape(self, row: dict[str, Any]) -> dict[str, Any]:
        """The object clients see for a row, but for its dimensions."""
        raise NotImplementedError

    def answer(self, request: Request) -> Response:
        """One page.

        Raises:
            InvalidRequest: a parameter that makes no sense.
        """
        asked = _read(self.query, request)
        own = public_id("proj_", caller_of(request).tenant_id)
        within, selection = _range(asked, self.query.limits), _selection(asked, own)
        project = own if "project_id" in asked["group_by"] else None
        data = []
        for bucket in self.report(within, selection):
            results = []
            for row in bucket.rows:
                dimensions = _dimensions(row, project=project)
                results.append(self.shape(row) | {name: dimensions[name] for name in self.query.dimensions})
            times = {"start_time": _seconds(bucket.start), "end_time": _seconds(bucket.end)}
            data.append({"object": "bucket", **times, "results": results})
        following = within.next_start
        page = None if following is None else f"{_PAGE}{_seconds(following)}"
        return Response({"object": "page", "data": data, "has_more": page is not None, "next_page": page})


class CompletionsUsageView(FinanceView):
    """`GET /v1/organization/usage/completions`."""

    @extend_schema(parameters=[UsageQuery], responses=_page_of(CompletionsResult), operation_id="usage_completions")
    def get(self, request: Request) -> Response:
        """Tokens and requests of text models, by time bucket."""
        return self.answer(request)

    def report(self, within: reports.Range, selection: reports.Selection) -> list[reports.Bucket]:
        """The buckets of one page."""
        return reports.usage(kind="completions", within=within, selection=selection)

    def shape(self, row: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's completions result; with what the response cache answered, and its share of all calls."""
        return {
            "object": "organization.usage.completions.result",
            "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
            "input_cached_tokens": row["cached_tokens"],
            "output_reasoning_tokens": row["reasoning_tokens"],
            "num_model_requests": row["requests"],
            "num_cache_hits": row["cache_hits"],
            "cache_hit_ratio": _share(row["cache_hits"], row["requests"]),
            "batch": None,
            "service_tier": None,
        }


class EmbeddingsUsageView(FinanceView):
    """`GET /v1/organization/usage/embeddings`."""

    @extend_schema(parameters=[UsageQuery], responses=_page_of(UsageResult), operation_id="usage_embeddings")
    def get(self, request: Request) -> Response:
        """Tokens and requests of embedding models, ingestion and search included, by time bucket."""
        return self.answer(request)

    def report(self, within: reports.Range, selection: reports.Selection) -> list[reports.Bucket]:
        """The buckets of one page."""
        return reports.usage(kind="embeddings", within=within, selection=selection)

    def shape(self, row: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's embeddings result."""
        return {
            "object": "organization.usage.embeddings.result",
            "input_tokens": row["input_tokens"],
            "num_model_requests": row["requests"],
        }


class CostsView(FinanceView):
    """`GET /v1/organization/costs`."""

    query = CostsQuery

    @extend_schema(parameters=[CostsQuery], responses=_page_of(CostsResult), operation_id="costs")
    def get(self, request: Request) -> Response:
        """What the tenant is charged, by day."""
        return self.answer(request)

    def report(self, within: reports.Range, selection: reports.Selection) -> list[reports.Bucket]:
        """The buckets of one page."""
        return reports.costs(within=within, selection=selection)

    def shape(self, row: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's costs result."""
        line_item = row.get("line_item", "")
        unit = _unit(line_item)
        return {
            "object": "organization.costs.result",
            "amount": {"value": _number(row["amount"]), "currency": row["currency"].lower()},
            "quantity": row["quantity"] if unit else None,
            "quantity_unit": unit,
        }


def _read(query: type[UsageQuery], request: Request) -> dict[str, Any]:
    """The query parameters, arrays as the SDK writes them (`group_by[]=`) or repeated."""
    given: dict[str, Any] = {}
    for name, declared in query().fields.items():
        if isinstance(declared, serializers.ListField):
            values = [*request.query_params.getlist(f"{name}[]"), *request.query_params.getlist(name)]
            if values:
                given[name] = values
        elif name in request.query_params:
            given[name] = request.query_params[name]
    serializer = query(data=given)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def _range(asked: dict[str, Any], limits: dict[str, tuple[int, int]]) -> reports.Range:
    usual, most = limits[asked["bucket_width"]]
    count = asked.get("limit", usual)
    if count > most:
        raise InvalidRequest(
            f"Invalid 'limit': at most {most} buckets of {asked['bucket_width']} a page.", param="limit"
        )
    start = _moment(asked["start_time"])
    end = _moment(asked["end_time"]) if "end_time" in asked else datetime.now(UTC)
    if end <= start:
        raise InvalidRequest("Invalid 'end_time': must be after 'start_time'.", param="end_time")
    if "page" in asked:
        digits = asked["page"].removeprefix(_PAGE)
        if not (digits.isascii() and digits.isdecimal() and start <= _moment(min(int(digits), _LATEST)) < end):
            raise InvalidRequest("Invalid 'page': use the 'next_page' of an answer to the same query.", param="page")
        start = _moment(int(digits))
    return reports.Range(start=start, end=end, width=asked["bucket_width"], count=count)


def _selection(asked: dict[str, Any], project: str) -> reports.Selection:
    only: dict[str, Any] = {}
    for name, dimension in (("user_ids", "user_id"), ("models", "model"), ("line_items", "line_item")):
        if name in asked:
            only[dimension] = asked[name]
    if "api_key_ids" in asked:
        parsed = [parse_public_id("key_", text) for text in asked["api_key_ids"]]
        only["api_key_id"] = [ident for ident in parsed if ident is not None]
    if project not in asked.get("project_ids", [project]):
        only["user_id"] = []
    return reports.Selection(only=only, group_by=[name for name in asked["group_by"] if name != "project_id"])


def _dimensions(row: dict[str, Any], *, project: str | None) -> dict[str, Any]:
    """Every dimension of a row; those that were not grouped by are null."""
    key_id = row.get("key_id")
    return {
        "project_id": project,
        "user_id": row.get("end_user") or None,
        "api_key_id": None if key_id is None else public_id("key_", key_id),
        "model": row.get("model"),
        "line_item": row.get("line_item"),
    }


def _unit(line_item: str) -> str | None:
    """What a line item counts; None where lines of several kinds stand together, or nothing was counted."""
    meter = line_item.rpartition(", ")[2]
    if meter in ("", Meter.UNRECONCILED):
        return None
    return {Meter.CACHE_HITS: "hits", Meter.MODERATION_CALLS: "calls"}.get(Meter(meter), "tokens")


def _share(hits: int, others: int) -> float | None:
    """The share of calls that the response cache answered, in four digits; None where nobody called."""
    return round(hits / (hits + others), 4) if hits + others else None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _number(amount: Decimal) -> orjson.Fragment:
    """A JSON number with every digit of the amount, which a float would not have."""
    return orjson.Fragment(f"{amount:f}")
