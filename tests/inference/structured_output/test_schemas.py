"""Which schemas are taken: valid ones of bounded size that point into themselves and end."""

import time
from typing import Any

import pytest

from inference.structured_output import check_response_format
from inference.structured_output.schemas import MAX_DEPTH, MAX_PATTERNS, MAX_SCHEMAS, check_schema
from tenants.errors import InvalidRequest

PERSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z\\u00c4]", "description": "A $ref here is a word"},
        "friends": {"type": "array", "items": {"$ref": "#"}},
        "address": {"$ref": "#/$defs/an~1address"},
        "$ref": {"type": "string"},
        "example": {"const": {"$ref": "https://data.example", "pattern": "("}},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"an/address": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
}


def nested(depth: int) -> dict[str, Any]:
    """A schema of `depth` levels of JSON."""
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


def strict(schema: Any, **members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema, **members}}


def test_what_people_write_is_taken() -> None:
    check_schema(PERSON)
    check_schema(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "items": [{"type": "string"}],
            "dependencies": {"a": ["b"]},
        }
    )
    check_schema({})
    check_schema(nested(MAX_DEPTH))
    check_response_format(None)
    check_response_format({"type": "text"})
    check_response_format({"type": "json_object"})
    check_response_format({"type": "json_schema", "json_schema": {"name": "n"}})
    check_response_format(strict(PERSON))


@pytest.mark.parametrize(
    ("schema", "place", "why"),
    [
        ({"type": "objekt"}, "type", "no type of JSON Schema"),
        ({"properties": {"a": {"items": {"minimum": "1"}}}}, "properties.a.items.minimum", "not of type"),
        ({"required": "name"}, "required", "not of type"),
        ({"properties": {"a": {"$ref": "https://evil.example/schema"}}}, "properties.a.$ref", "never elsewhere"),
        ({"$ref": "other.json#/a"}, "$ref", "never elsewhere"),
        ({"$ref": "#/$defs/missing"}, "$ref", "points to no schema"),
        ({"$ref": "#name"}, "$ref", "points to no schema"),
        # A place that no keyword makes a schema of.
        ({"$ref": "#/default", "default": {"pattern": "(a+)+$"}}, "$ref", "points to no schema"),
        ({"$schema": "http://evil.example/draft"}, "$schema", "the drafts understood"),
        ({"properties": {"a": {"$id": "http://evil.example/"}}}, "properties.a.$id", "at the top only"),
        ({"$defs": {"a": {"$dynamicRef": "#a"}}}, "$defs.a.$dynamicRef", "not supported"),
        ({"$anchor": "a"}, "$anchor", "not supported"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "properties.a.pattern", "RE2"),
        ({"pattern": "(a)\\1"}, "pattern", "RE2"),
        ({"pattern": "a" * 1_001}, "pattern", "1000 characters"),
        ({"patternProperties": {"(": {}}}, "patternProperties.(", "RE2"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "unevaluatedProperties", "beside"),
        (nested(MAX_DEPTH + 1), "", "64 levels"),
        ({"enum": ["x" * 120_000]}, "", "120000 bytes"),
        ({"properties": {str(n): {} for n in range(MAX_SCHEMAS)}}, "", "5000 parts"),
        ({"properties": {str(n): {"pattern": "a"} for n in range(MAX_PATTERNS + 1)}}, "", "200 patterns"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_place(schema: dict[str, Any], place: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as refused:
        check_response_format(strict(schema))
    assert refused.value.param == "response_format.json_schema.schema" + (f".{place}" if place else "")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {
            "allOf": [{"$ref": "#/$defs/a"}],
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}},
        },
        {"dependentSchemas": {"x": {"$ref": "#"}}},
    ],
)  # fmt: skip
def test_references_that_never_end_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="without an end"):
        check_schema(schema)


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"type": "json_schema"}, ""),
        ({"type": "json_schema", "json_schema": []}, ""),
        ({"type": "json_schema", "json_schema": {"strict": True}}, ".schema"),
        ({"type": "json_schema", "json_schema": {"schema": [1]}}, ".schema"),
        ({"type": "json_schema", "json_schema": {"strict": "yes", "schema": {}}}, ".strict"),
        # What is not enforced must be a schema all the same.
        ({"type": "json_schema", "json_schema": {"strict": False, "schema": {"type": 5}}}, ".schema.type"),
    ],
)
def test_a_response_format_that_cannot_be_meant_is_refused(wanted: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_response_format(wanted)
    assert refused.value.param == f"response_format.json_schema{param}"


def test_a_large_schema_is_checked_in_a_moment() -> None:
    many = {f"p{n}": {"properties": {f"q{m}": {"type": "string"} for m in range(40)}} for n in range(60)}
    before = time.process_time()
    check_schema({"type": "object", "properties": many})
    # 1 s with the Python library's own check of 2,400 properties.
    assert time.process_time() - before < 0.4
