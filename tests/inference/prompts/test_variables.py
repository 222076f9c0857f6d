"""Values by type and rule; what breaks one is named with it. Expectations were worked out by hand."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from inference.prompts.variables import InvalidVariable, Variable, read_values

ANY: TypeAdapter[Any] = TypeAdapter(Variable)
IMAGE = {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"}


def written(rules: dict[str, Any], value: Any) -> Any:
    return read_values({"v": ANY.validate_python(rules)}, {} if value is ... else {"v": value})["v"]


@pytest.mark.parametrize(
    ("rules", "value", "text"),
    [
        ({"type": "string"}, "{{v}} \\", "{{v}} \\"),
        ({"type": "string"}, {"type": "input_text", "text": "hi"}, "hi"),
        ({"type": "string", "pattern": "[a-z]{2}-[0-9]+"}, "ab-12", "ab-12"),
        ({"type": "string", "default": "d"}, ..., "d"),
        ({"type": "string", "default": "d"}, None, "d"),
        ({"type": "string", "required": False}, ..., ""),
        ({"type": "integer", "minimum": 1, "maximum": 5}, 5, "5"),
        ({"type": "integer"}, " -7 ", "-7"),
        ({"type": "integer", "default": 0}, ..., "0"),
        ({"type": "number"}, 2.5, "2.5"),
        ({"type": "number"}, "1e3", "1000"),
        ({"type": "number"}, 3, "3"),
        ({"type": "boolean"}, True, "true"),
        ({"type": "boolean"}, "false", "false"),
        ({"type": "boolean", "default": False}, ..., "false"),
        ({"type": "enum", "values": ["a", "b"]}, "b", "b"),
        ({"type": "string_array"}, ["a", 'b", "c'], '["a","b\\", \\"c"]'),
        ({"type": "string_array"}, '["x"]', '["x"]'),
        ({"type": "json"}, {"a": [1, None, "é"]}, '{"a":[1,null,"é"]}'),
        ({"type": "json"}, '{"a": 1}', '{"a":1}'),
        ({"type": "json", "default": {"a": None}}, ..., '{"a":null}'),
        ({"type": "image"}, IMAGE, {"type": "image_url", "image_url": {"url": IMAGE["image_url"], "detail": "low"}}),
        (
            {"type": "file"},
            {"type": "input_file", "file_data": "data:text/plain;base64,eA==", "filename": "a.txt"},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,eA==", "filename": "a.txt"}},
        ),
    ],
)
def test_a_value_that_keeps_the_rules(rules: dict[str, Any], value: Any, text: Any) -> None:
    assert written(rules, value) == text


@pytest.mark.parametrize(
    ("rules", "value", "rule"),
    [
        ({"type": "string"}, ..., "required"),
        ({"type": "string"}, 5, "type"),
        ({"type": "string"}, {"type": "input_image", "image_url": "https://x"}, "type"),
        ({"type": "string", "max_length": 3}, "four", "max_length"),
        ({"type": "string"}, "x" * 200_001, "max_length"),
        ({"type": "string", "min_length": 2}, "x", "min_length"),
        ({"type": "string", "pattern": "[a-z]+"}, "abc1", "pattern"),
        ({"type": "string", "pattern": "(a+)+"}, "a" * 30_000 + "b", "pattern"),
        ({"type": "integer"}, 1.5, "type"),
        ({"type": "integer"}, True, "type"),
        ({"type": "integer"}, "12x", "type"),
        ({"type": "integer"}, "٣", "type"),
        ({"type": "integer"}, 2**63, "type"),
        ({"type": "integer", "minimum": 1}, 0, "minimum"),
        ({"type": "integer", "maximum": 5}, "6", "maximum"),
        ({"type": "number"}, "nan", "type"),
        ({"type": "number"}, "1e400", "type"),
        ({"type": "number", "maximum": 0.5}, 0.6, "maximum"),
        ({"type": "boolean"}, "yes", "type"),
        ({"type": "boolean"}, 1, "type"),
        ({"type": "enum", "values": ["a"]}, "A", "values"),
        ({"type": "enum", "values": ["a"]}, ["a"], "type"),
        ({"type": "string_array"}, "a,b", "type"),
        ({"type": "string_array"}, ["a", 1], "type"),
        ({"type": "string_array", "max_items": 1}, ["a", "b"], "max_items"),
        ({"type": "string_array", "min_items": 1}, [], "min_items"),
        ({"type": "string_array", "max_length": 1}, ["ab"], "max_length"),
        ({"type": "json"}, "{", "type"),
        ({"type": "json"}, "null", "type"),
        ({"type": "json", "max_length": 5}, [1, 2, 3], "max_length"),
        ({"type": "image"}, "https://example.org/a.png", "type"),
        ({"type": "image"}, {**IMAGE, "image_url": "file:///etc/passwd"}, "image_url"),
        ({"type": "image"}, {"type": "input_image", "file_id": "file-1"}, "image_url"),
        ({"type": "file"}, {"type": "input_file"}, "file_data"),
        ({"type": "file"}, {"type": "input_file", "file_data": 1}, "type"),
    ],
)
def test_a_value_that_breaks_one_is_refused_with_its_name(rules: dict[str, Any], value: Any, rule: str) -> None:
    with pytest.raises(InvalidVariable) as refused:
        written(rules, value)
    error = refused.value.body()["error"]
    assert (error["code"], error["param"]) == ("invalid_prompt_variable", "prompt.variables.v")
    assert (error["variable"], error["rule"]) == ("v", rule)


def test_an_unknown_variable_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InvalidVariable) as refused:
        read_values({"a": ANY.validate_python({"type": "string"})}, {"a": "x", "b": "y"})
    assert refused.value.data == {"variable": "b", "rule": "unknown"} and "It has: a" in refused.value.message


@pytest.mark.parametrize(
    "rules",
    [
        {"type": "text"},
        {"type": "string", "colour": "red"},
        {"type": "string", "min_length": 5, "max_length": 4},
        {"type": "string", "default": "long", "max_length": 2},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": r"(a)\1"},
        {"type": "string", "pattern": "(?=a)"},
        {"type": "string", "pattern": "(((a?){100}){100}){100}"},
        {"type": "string", "pattern": "((){1000}){1000}"},
        {"type": "string", "pattern": "(?x)(a) {1000}"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "default": 1.5},
        {"type": "integer", "default": 9, "maximum": 5},
        {"type": "enum", "values": []},
        {"type": "enum", "values": ["a"], "default": "b"},
        {"type": "string_array", "min_items": 2, "max_items": 1},
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python(rules)
