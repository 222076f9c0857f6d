"""What people read instead of meters and of the ids of keys."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from tenants.models import ApiKey

from .models import Meter

METERS: Mapping[str, str] = {
    Meter.INPUT_TOKENS: "Tokens read",
    Meter.CACHED_INPUT_TOKENS: "Tokens read from the provider's cache",
    Meter.OUTPUT_TOKENS: "Tokens written",
    Meter.REASONING_TOKENS: "Tokens written while reasoning",
    Meter.EMBEDDING_TOKENS: "Tokens embedded",
    Meter.CACHE_HITS: "Answers from the response cache",
    Meter.MODERATION_CALLS: "Texts moderated",
    Meter.OCR_PAGES: "Pages read by OCR",
    Meter.STORAGE_BYTE_HOURS: "Storage, in bytes times hours",
    Meter.SEARCH_CALLS: "Searches",
    Meter.FINE_TUNING_TOKENS: "Tokens trained on",
    Meter.UNRECONCILED: "Calls of unknown usage",
}


def names_of(by: str, values: Sequence[Any]) -> dict[Any, str]:
    """What people read instead of values; no two are the same."""
    names = {value: name or "Not named" for value, name in _readable(by, values).items()}
    often = Counter(names.values())
    return {value: name if often[name] == 1 else f"{name} ({value})" for value, name in names.items()}


def _readable(by: str, values: Sequence[Any]) -> dict[Any, str]:
    if by == "api_key_id":
        keys = ApiKey.objects.filter(id__in=[key for key in values if key]).values_list("id", "name")
        named: dict[UUID, str] = dict(keys)
        return {key: named.get(key, "Deleted key") if key else "No key" for key in values}
    if by == "meter":
        return {meter: METERS.get(meter, meter) for meter in values}
    return {value: "Without this tag" if value is None else str(value) for value in values}
