"""Parts of requests that several endpoints share."""

from typing import Any

from rest_framework import serializers

from .chunking import ChunkingStrategy


class ChunkingInput(serializers.Serializer):
    """`auto` (800 tokens, 400 of them shared with the next chunk) or `static`."""

    class Static(serializers.Serializer):
        """The sizes of `static`, in tokens; the overlap is at most half a chunk."""

        max_chunk_size_tokens = serializers.IntegerField(min_value=100, max_value=4096)
        chunk_overlap_tokens = serializers.IntegerField(min_value=0)

    type = serializers.ChoiceField(choices=["auto", "static"])
    static = Static(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """`static` has its sizes, and they fit."""
        if attrs["type"] == "static":
            if "static" not in attrs:
                raise serializers.ValidationError({"static": "is required."})
            try:
                ChunkingStrategy(**attrs["static"])
            except ValueError as error:
                raise serializers.ValidationError({"static": str(error)}) from error
        return attrs


def chunking_of(value: dict[str, Any] | None) -> ChunkingStrategy | None:
    """The strategy of a checked request; None: the default."""
    return ChunkingStrategy(**value["static"]) if value and value["type"] == "static" else None


class AllowedGroupsInput(serializers.ListField):
    """The groups whose members find a file; null: every caller of the tenant; checked by `knowledge.access`."""

    def __init__(self, **options: Any) -> None:
        # Lengths and characters are the domain's to judge, so that every way in answers alike.
        super().__init__(child=serializers.CharField(trim_whitespace=False, allow_blank=True), **options)


class Filters(serializers.DictField):
    """A comparison `{type, key, value}` or a compound `{type: and | or, filters}`; checked by `knowledge.filters`."""


class Number(serializers.FloatField):
    """A JSON number; a boolean or a string is none."""

    def to_internal_value(self, data: Any) -> float:
        """The number, finite."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)
