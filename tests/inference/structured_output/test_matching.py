"""Whether an answer matches its schema, judged by hand; and that no schema makes much work of it."""

import time
from typing import Any

import pytest

from inference.providers.base import Prompt
from inference.structured_output import InvalidStructuredOutput, first_mismatch, mismatch, repair_prompt, strict_schema
from inference.structured_output.schemas import check_schema

PERSON: dict[str, Any] = {
    "$id": "https://example.com/person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-ZÄ]", "maxLength": 10},
        "age": {"type": "integer"},
        "tags": {"type": "array", "uniqueItems": True},
        "friends": {"type": "array", "items": {"$ref": "#"}},
    },
    "patternProperties": {"^x-": {"type": "number"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ('{"name": "Ann"}', None),
        (' {"name": "Ärla", "age": 3.0, "x-y": 1.5, "tags": [1, true, "1", {"a": 1, "b": 2}], "friends": []}\n', None),
        ('{"name": "Ann", "friends": [{"name": "Bo", "friends": [{"name": "Cy"}]}]}', None),
        ('{"name": "ann"}', "properties.name.pattern"),
        ('{"name": "Annabella-Maria"}', "properties.name.maxLength"),
        ('{"name": "Ann", "age": "3"}', "properties.age.type"),
        ("{}", "required"),
        ("[]", "type"),
        ('{"name": "Ann", "more": 1}', "additionalProperties"),
        ('{"name": "Ann", "x-y": "z"}', "patternProperties.^x-.type"),
        ('{"name": "Ann", "tags": [1, 2, 1.0]}', "properties.tags.uniqueItems"),
        ('{"name": "Ann", "tags": [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}]}', "properties.tags.uniqueItems"),
        ('{"name": "Ann", "friends": [{"name": 5}]}', "properties.friends.items.properties.name.type"),
    ],
)  # fmt: skip
def test_an_answer_matches_or_the_place_in_the_schema_is_named(text: str, fails: str | None) -> None:
    check_schema(PERSON)
    fault = mismatch(PERSON, text)
    assert (fault and fault.shown) == (fails and f"it fails '{fails}'")


@pytest.mark.parametrize(
    "text", ["", "Sure! {}", '{"name": "Ann"', '{"name": NaN}', "```json\n{}\n```", '{"a": "\ud800"}']
)
def test_what_is_not_json_alone_does_not_match(text: str) -> None:
    fault = mismatch({}, text)
    assert fault is not None and fault.shown == "it is not JSON"


def test_schemas_of_schemas_and_draft_7_mean_what_they_say() -> None:
    draft_7 = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [{"type": "string"}],
        "additionalItems": False,
    }
    assert mismatch(draft_7, '["a"]') is None
    assert mismatch(draft_7, '["a", 1]') is not None
    typed_rest = {"additionalProperties": {"type": "integer"}, "properties": {"a": {}}}
    assert mismatch(typed_rest, '{"a": "x", "b": 1}') is None
    assert mismatch(typed_rest, '{"a": "x", "b": "1"}') is not None


def test_the_client_is_told_no_word_of_the_answer_and_the_model_is() -> None:
    fault = mismatch(PERSON, '{"name": "Ann", "age": "ann@example.com", "bob@example.com": 1}')
    assert fault is not None and "example.com" not in fault.shown and "example.com" in fault.told
    error = InvalidStructuredOutput(fault, repaired=True)
    assert (error.status, error.code, error.type) == (502, "invalid_structured_output", "server_error")
    assert "example.com" not in error.message


def exponential() -> dict[str, Any]:
    """40 definitions, each of which asks for the next one twice."""
    parts: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    return {"$ref": "#/$defs/a0", "$defs": {**parts, "a40": {"type": "object"}}}


BRANCHING = {"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}] * 2 + [{"type": "integer"}]}


@pytest.mark.parametrize(
    ("schema", "text", "unchecked"),
    [
        (exponential(), "{}", True),
        (BRANCHING, '{"a":' * 60 + "1" + "}" * 60, True),
        ({"items": {"$ref": "#"}}, "[" * 900 + "]" * 900, True),
        ({"pattern": "^(a+)+$"}, f'"{"a" * 50_000}b"', False),
        ({"patternProperties": {"^(a|a)*$": {}}, "additionalProperties": False}, f'{{"{"a" * 40}b": 1}}', False),
        ({"uniqueItems": True}, f"[{','.join(str(n) for n in range(30_000))}, {{}}, 1]", False),
    ],
    ids=["exponential", "branching", "deep", "backtracking", "backtracking names", "all against all"],
)
def test_no_schema_makes_much_work_of_an_answer(schema: dict[str, Any], text: str, unchecked: bool) -> None:
    check_schema(schema)
    before = time.process_time()
    fault = mismatch(schema, text)
    assert time.process_time() - before < 3
    assert fault is not None and ("too much to be checked" in fault.shown) == unchecked


def choice(content: Any, finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish_reason}


def test_every_choice_is_checked_and_what_is_no_answer_is_not() -> None:
    good, bad = choice('{"name": "Ann"}'), choice("no")
    exempt = [
        choice(None, refusal="I will not."),
        choice(None, "tool_calls", tool_calls=[{"id": "1"}]),
        choice('{"name": "An', "length"),
        choice("", "content_filter"),
    ]
    assert first_mismatch(PERSON, [good, *exempt]) is None
    found = first_mismatch(PERSON, [good, *exempt, choice("no", None), bad])
    assert found is not None and found[0] == 5
    assert first_mismatch(PERSON, [choice(None)]) is not None


def test_only_strict_schemas_are_enforced() -> None:
    described = {"name": "n", "schema": {"type": "object"}}
    assert strict_schema({"type": "json_schema", "json_schema": {**described, "strict": True}}) == {"type": "object"}
    for strict in ({"strict": False}, {"strict": None}, {}):
        assert strict_schema({"type": "json_schema", "json_schema": {**described, **strict}}) is None
    assert strict_schema({"type": "json_object"}) is None
    assert strict_schema(None) is None


def test_a_repair_asks_for_one_answer_again_and_says_what_was_wrong() -> None:
    fault = mismatch(PERSON, '{"name": "ann"}')
    assert fault is not None
    prompt = Prompt(
        body={
            "messages": [{"role": "user", "content": "Who?"}],
            "n": 3,
            "tools": [{}],
            "tool_choice": "auto",
            "seed": 1,
        },
        max_output_tokens=9,
        grounded=True,
    )
    asked = repair_prompt(prompt, choice('{"name": "ann"}'), fault)
    first, said, told = asked.body["messages"]
    assert (first, said) == (prompt.body["messages"][0], {"role": "assistant", "content": '{"name": "ann"}'})
    assert told["role"] == "user" and "'ann' does not match" in told["content"]
    assert set(asked.body) == {"messages", "seed"}
    assert (asked.max_output_tokens, asked.grounded, len(prompt.body["messages"])) == (9, True, 1)
