"""What can be asked of usage and costs: time, width, groups, filters."""

import re
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from ..sums import TAG

_LATEST = 253_402_300_799  # the last second of the year 9999
_OF_TAG = re.compile(r"tags\[([^]]*)\](?:\[\])?")
_LONGEST_TAG = 64


class Dimension(serializers.ChoiceField):
    """One of the choices, or `tag:<name>`."""

    def to_internal_value(self, data: Any) -> str:
        """The dimension's name."""
        text = str(data)
        if text.startswith(TAG) and len(TAG) < len(text) <= len(TAG) + _LONGEST_TAG and "\0" not in text:
            return text
        return super().to_internal_value(data)


def _groups(*dimensions: str) -> serializers.ListField:
    help_text = "Besides these, `tag:<name>` groups by an allocation tag."
    return serializers.ListField(child=Dimension(dimensions), default=list, help_text=help_text)


class Query(serializers.Serializer):
    """What every one of them can be asked."""

    #: Bucket width → (buckets a page by default, at most).
    limits = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}

    start_time = serializers.IntegerField(min_value=0, max_value=_LATEST, help_text="Unix seconds, inclusive.")
    end_time = serializers.IntegerField(
        min_value=0, max_value=_LATEST, required=False, help_text="Unix seconds, exclusive; now where missing."
    )
    bucket_width = serializers.ChoiceField(["1m", "1h", "1d"], default="1d")
    group_by = _groups("project_id")
    project_ids = serializers.ListField(child=serializers.CharField(), required=False)
    tags = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="`tags[<name>]=<value>`: calls whose allocation tag has the value; repeated, one of the values.",
    )
    limit = serializers.IntegerField(min_value=1, required=False, help_text="Buckets a page.")
    page = serializers.CharField(required=False, help_text="`next_page` of the page before.")


class CallsQuery(Query):
    """Of what somebody calls for."""

    group_by = _groups("project_id", "user_id", "api_key_id")
    user_ids = serializers.ListField(child=serializers.CharField(), required=False)
    api_key_ids = serializers.ListField(child=serializers.CharField(), required=False)


class UsageQuery(CallsQuery):
    """Of models."""

    group_by = _groups("project_id", "user_id", "api_key_id", "model")
    models = serializers.ListField(child=serializers.CharField(), required=False)


class CompletionsQuery(UsageQuery):
    """Of text models."""

    group_by = _groups("project_id", "user_id", "api_key_id", "model", "batch", "service_tier")
    batch = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="Batches only, or none.")


class CostsQuery(CallsQuery):
    """Of costs."""

    limits = {"1d": (7, 180)}

    bucket_width = serializers.ChoiceField(["1d"], default="1d")
    group_by = _groups("project_id", "user_id", "api_key_id", "line_item")
    line_items = serializers.ListField(child=serializers.CharField(), required=False)


def read(query: type[Query], request: Request) -> dict[str, Any]:
    """The query parameters, arrays as the SDK writes them (`group_by[]=`) or repeated.

    Raises:
        ValidationError: one that makes no sense.
    """
    given: dict[str, Any] = {}
    for name, declared in query().fields.items():
        if isinstance(declared, serializers.ListField):
            values = [*request.query_params.getlist(f"{name}[]"), *request.query_params.getlist(name)]
            if values:
                given[name] = values
        elif name in request.query_params:
            given[name] = request.query_params[name]
    for name in request.query_params:
        if found := _OF_TAG.fullmatch(name):
            given.setdefault("tags", {}).setdefault(found[1], []).extend(request.query_params.getlist(name))
    serializer = query(data=given)
    serializer.is_valid(raise_exception=True)
    asked = serializer.validated_data
    asked["group_by"] = list(dict.fromkeys(asked["group_by"]))
    return asked
