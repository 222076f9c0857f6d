"""The objects that usage and costs are answered with, and how a report's row becomes one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import orjson
from rest_framework import serializers

from ..models import Meter
from ..reports import Bucket
from . import queries

_HOUR = timedelta(hours=1)
_UNITS = {
    Meter.CACHE_HITS: "hits",
    Meter.MODERATION_CALLS: "calls",
    Meter.SEARCH_CALLS: "calls",
    Meter.OCR_PAGES: "pages",
    Meter.STORAGE_BYTE_HOURS: "byte-hours",
}


class Result(serializers.Serializer):
    """Figures of one group in one bucket; dimensions that were not grouped by are null."""

    object = serializers.CharField()
    project_id = serializers.CharField(
        allow_null=True, help_text="A tenant reads its apps, each an API key; the platform reads its tenants."
    )
    tags = serializers.DictField(allow_null=True, help_text="The values of the tags that were grouped by.")


class CallsResult(Result):
    """Of calls."""

    user_id = serializers.CharField(allow_null=True)
    api_key_id = serializers.CharField(allow_null=True)


class UsageResult(CallsResult):
    """Of calls of a model."""

    num_model_requests = serializers.IntegerField()
    model = serializers.CharField(allow_null=True)


class EmbeddingsResult(UsageResult):
    """Usage of embedding models, ingestion and search included."""

    input_tokens = serializers.IntegerField(help_text="Cached ones included.")


class CompletionsResult(EmbeddingsResult):
    """Usage of text models."""

    output_tokens = serializers.IntegerField()
    input_cached_tokens = serializers.IntegerField()
    input_uncached_tokens = serializers.IntegerField()
    output_reasoning_tokens = serializers.IntegerField()
    num_cache_hits = serializers.IntegerField(help_text="Calls that the response cache answered.")
    cache_hit_ratio = serializers.FloatField(allow_null=True, help_text="Their share of all calls.")
    batch = serializers.BooleanField(allow_null=True)
    service_tier = serializers.CharField(allow_null=True)


class ModerationsResult(UsageResult):
    """Texts that moderation models looked at; their tokens are not counted."""

    input_tokens = serializers.IntegerField()


class FileSearchesResult(CallsResult):
    """Searches of vector stores."""

    num_requests = serializers.IntegerField()


class VectorStoresResult(Result):
    """What is stored."""

    usage_bytes = serializers.IntegerField(help_text="On average over the bucket.")
    byte_hours = serializers.IntegerField(help_text="Exactly: bytes times the hours for which they were kept.")


class OcrPagesResult(CallsResult):
    """Pages read by optical character recognition."""

    pages = serializers.IntegerField()


class FineTuningResult(UsageResult):
    """What fine-tuning jobs trained on."""

    trained_tokens = serializers.IntegerField()


class Amount(serializers.Serializer):
    """Money."""

    value = serializers.DecimalField(max_digits=24, decimal_places=12, coerce_to_string=False)
    currency = serializers.CharField(help_text="ISO 4217, lower case.")


class CostsResult(CallsResult):
    """What one group costs in one bucket."""

    amount = Amount()
    line_item = serializers.CharField(allow_null=True)
    quantity = serializers.IntegerField(allow_null=True)
    quantity_unit = serializers.CharField(allow_null=True)
    provider_amount = Amount(
        required=False, help_text="The platform's reader only: what it pays, where that is known of a line."
    )
    unmatched_amount = Amount(
        required=False, help_text="The platform's reader only: the part of `amount` of which that is not known."
    )


Shape = Callable[[dict[str, Any], Bucket], dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A usage endpoint: its result, its query, and what makes the result's figures of a row (None: never used here)."""

    name: str
    summary: str
    result: type[Result]
    query: type[queries.Query]
    shape: Shape | None
    object: str = ""

    @property
    def object_name(self) -> str:
        """What a result says it is."""
        return f"organization.usage.{self.object or self.name}.result"


def _completions(row: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    """With what the response cache answered, and its share of all calls."""
    calls = row["cache_hits"] + row["requests"]
    return {
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "input_cached_tokens": row["cached_tokens"],
        "input_uncached_tokens": row["input_tokens"] - row["cached_tokens"],
        "output_reasoning_tokens": row["reasoning_tokens"],
        "num_model_requests": row["requests"],
        "num_cache_hits": row["cache_hits"],
        "cache_hit_ratio": round(row["cache_hits"] / calls, 4) if calls else None,
    }


def _stored(row: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    """Storage is charged by the hour, so a bucket of less stands for one."""
    hours = max(bucket.end - bucket.start, _HOUR) / _HOUR
    return {"usage_bytes": round(row["units"] / hours), "byte_hours": row["units"]}


def _embeddings(row: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    return {"input_tokens": row["input_tokens"], "num_model_requests": row["requests"]}


def _moderations(row: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    return {"input_tokens": 0, "num_model_requests": row["units"]}


def _trained(row: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    return {"trained_tokens": row["units"], "num_model_requests": row["requests"]}


def _units(name: str) -> Shape:
    return lambda row, bucket: {name: row["units"]}


_OF_MODELS, _OF_CALLS = queries.UsageQuery, queries.CallsQuery
KINDS = (
    Kind("completions", "Text models", CompletionsResult, queries.CompletionsQuery, _completions),
    Kind("embeddings", "Embedding models, ingestion and search included", EmbeddingsResult, _OF_MODELS, _embeddings),
    Kind("moderations", "Moderation models", ModerationsResult, _OF_MODELS, _moderations),
    Kind(
        "file_search_calls",
        "Searches of vector stores",
        FileSearchesResult,
        _OF_CALLS,
        _units("num_requests"),
        "file_searches",
    ),
    Kind("vector_stores", "What is stored", VectorStoresResult, queries.Query, _stored),
    Kind("ocr_pages", "Pages read by optical character recognition", OcrPagesResult, _OF_CALLS, _units("pages")),
    Kind("fine_tuning", "Fine-tuning jobs", FineTuningResult, _OF_MODELS, _trained),
    # What OpenAI's clients ask for too and nothing here can use: buckets without results are the truth.
    Kind("images", "Images: none, nothing here makes any", UsageResult, _OF_MODELS, None),
    Kind("audio_speeches", "Speech: none, nothing here makes any", UsageResult, _OF_MODELS, None),
    Kind("audio_transcriptions", "Transcriptions: none, nothing here makes any", UsageResult, _OF_MODELS, None),
    Kind("code_interpreter_sessions", "Sessions: none, nothing here runs code", Result, queries.Query, None),
    Kind("web_search_calls", "Searches of the web: none, nothing here makes any", UsageResult, _OF_MODELS, None),
)


def cost_figures(row: dict[str, Any], *, provider: bool) -> dict[str, Any]:
    """The figures of a costs result. `provider`: with what the platform pays."""
    currency = row["currency"].lower()
    unit = _unit(row.get("line_item", ""))
    names = ("amount", "provider_amount", "unmatched_amount") if provider else ("amount",)
    return {
        **{name: {"value": _number(row[name]), "currency": currency} for name in names},
        "quantity": row["quantity"] if unit else None,
        "quantity_unit": unit,
    }


def _unit(line_item: str) -> str | None:
    """What a line item counts; None where lines of several kinds stand together, or nothing was counted."""
    meter = line_item.rpartition(", ")[2]
    if meter in ("", Meter.UNRECONCILED):
        return None
    return _UNITS.get(Meter(meter), "tokens")


def _number(amount: Decimal) -> orjson.Fragment:
    """A JSON number with every digit of the amount, which a float would not have."""
    return orjson.Fragment(f"{amount:f}")


@cache
def page_of(result: type[Result]) -> type[serializers.Serializer]:
    """The OpenAPI schema of a page of buckets of `result`."""
    stem = result.__name__.removesuffix("Result")
    members: dict[str, Any] = {
        "object": serializers.CharField(),
        "start_time": serializers.IntegerField(),
        "end_time": serializers.IntegerField(),
        "results": result(many=True),
    }
    bucket = type(f"{stem}Bucket", (serializers.Serializer,), members)
    members = {
        "object": serializers.CharField(),
        "data": bucket(many=True),
        "has_more": serializers.BooleanField(),
        "next_page": serializers.CharField(allow_null=True),
    }
    return type(f"{stem}Page", (serializers.Serializer,), members)
