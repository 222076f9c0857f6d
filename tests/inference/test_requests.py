"""Request bodies: what is understood, what is refused and by which name, what reaches an upstream."""

import json
from typing import Any

import pytest

from inference.requests import ChatRequest, EmbeddingsRequest, parse
from tenants.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "hello"}]
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}
FUNCTION = {"type": "function", "function": {"name": "now", "parameters": {}}}


def chat(**members: Any) -> ChatRequest:
    return parse(ChatRequest, json.dumps({"model": "m", "messages": MESSAGES, **members}).encode())


def refused(**members: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        chat(**members)
    return caught.value


def test_unknown_members_are_ignored_wherever_they_stand() -> None:
    request = chat(future={"a": 1}, stream_options={"include_usage": True, "later": 1}, tools=[{**SEARCH, "new": 2}])
    assert request.stream_options is not None and request.stream_options.include_usage
    assert request.file_search() is not None
    assert "future" not in request.upstream_body()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": [*MESSAGES, {"role": "user"}]}, "messages.1"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0"),
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 17}, "n"),
        ({"stream": "perhaps"}, "stream"),
        ({"stop": 5}, "stop"),
        ({"tools": [FUNCTION] * 129}, "tools"),
        ({"user": "u" * 201}, "user"),
        ({"metadata": {"k": 5}}, "metadata.k"),
    ],
)
def test_a_wrong_member_is_refused_by_its_name(members: dict[str, Any], param: str) -> None:
    error = refused(**members)
    assert (error.status, error.param) == (400, param)
    assert param in error.message


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_a_turn_of_the_model_or_a_tool_may_be_without_content(role: str) -> None:
    assert chat(messages=[*MESSAGES, {"role": role, "content": None}]).messages[1].content is None


def test_a_body_that_is_not_json_is_refused_as_such() -> None:
    with pytest.raises(InvalidRequest, match="could not parse the JSON body") as caught:
        parse(ChatRequest, b'{"model": ')
    assert caught.value.param is None


def test_nul_which_no_row_can_hold_is_refused_and_its_spelling_is_not() -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        chat(messages=[{"role": "user", "content": "a\0b"}])
    with pytest.raises(InvalidRequest, match="NUL"):
        chat(metadata={"k": "\\\0"})
    assert chat(messages=[{"role": "user", "content": "write \\u0000"}]).messages[0].text() == "write \\u0000"


@pytest.mark.parametrize("half", [b"\\ud800", b"\\udc00"])
def test_half_a_surrogate_pair_is_not_json(half: bytes) -> None:
    with pytest.raises(InvalidRequest, match="could not parse"):
        parse(ChatRequest, b'{"model": "m", "messages": [{"role": "user", "content": "' + half + b'"}]}')


def test_the_text_of_a_message_is_that_of_its_text_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    parts = [{"type": "text", "text": "one"}, image, {"type": "text", "text": "two"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].text() == "one\ntwo"


@pytest.mark.parametrize(
    ("members", "limit"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
    ],
)
def test_the_newer_spelling_of_the_limit_wins(members: dict[str, Any], limit: int | None) -> None:
    assert chat(**members).output_limit == limit


def test_the_end_user_is_the_safety_identifier_before_the_user() -> None:
    assert chat().end_user == ""
    assert chat(user="u").end_user == "u"
    assert chat(user="u", safety_identifier="s").end_user == "s"


def test_without_the_tool_there_is_no_file_search() -> None:
    assert chat().file_search() is None
    assert chat(tools=[FUNCTION]).file_search() is None


def test_file_search_has_defaults_and_takes_what_it_is_given() -> None:
    default = chat(tools=[FUNCTION, SEARCH]).file_search()
    assert default is not None
    assert (default.vector_store_ids, default.max_num_results, default.filters) == (["vs_1"], 6, None)
    assert (default.ranking_options.ranker, default.ranking_options.score_threshold) == ("auto", 0.0)
    filters = {"type": "eq", "key": "year", "value": 2026}
    ranking = {"ranker": "dense", "score_threshold": 0.3}
    given = chat(tools=[{**SEARCH, "max_num_results": 3, "filters": filters, "ranking_options": ranking}]).file_search()
    assert given is not None
    assert (given.max_num_results, given.filters) == (3, filters)
    assert (given.ranking_options.ranker, given.ranking_options.score_threshold) == ("dense", 0.3)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "file_search"}, "tools.vector_store_ids"),
        ({**SEARCH, "vector_store_ids": []}, "tools.vector_store_ids"),
        ({**SEARCH, "vector_store_ids": ["vs_1"] * 9}, "tools.vector_store_ids"),
        ({**SEARCH, "max_num_results": 51}, "tools.max_num_results"),
        ({**SEARCH, "ranking_options": {"score_threshold": 2}}, "tools.ranking_options.score_threshold"),
    ],
)
def test_a_wrong_file_search_is_refused_by_its_name(tool: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(tools=[tool]).file_search()
    assert caught.value.param == param


def test_an_upstream_is_sent_the_request_without_atriums_own_members() -> None:
    request = chat(
        temperature=0.5, seed=7, stop=["END"], n=2, response_format={"type": "json_object"}, max_tokens=10, stream=True,
        stream_options={"include_usage": True}, user="u", safety_identifier="s", metadata={"a": "b"}, store=True,
        service_tier="auto",
    )  # fmt: skip
    assert request.upstream_body() == {
        "messages": MESSAGES,
        "temperature": 0.5,
        "seed": 7,
        "stop": ["END"],
        "n": 2,
        "response_format": {"type": "json_object"},
    }


def test_an_upstream_is_sent_the_function_tools_only() -> None:
    both = chat(tools=[SEARCH, FUNCTION], tool_choice="auto", parallel_tool_calls=False).upstream_body()
    assert (both["tools"], both["tool_choice"], both["parallel_tool_calls"]) == ([FUNCTION], "auto", False)
    # A choice among no tools is what upstreams refuse.
    search_only = chat(tools=[SEARCH], tool_choice="auto", parallel_tool_calls=False).upstream_body()
    assert search_only.keys() == {"messages"}


def test_turns_reach_an_upstream_as_the_client_wrote_them() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    turns = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "12:00", "tool_call_id": "c1"},
    ]
    assert chat(messages=turns).upstream_body()["messages"] == turns


@pytest.mark.parametrize(
    ("given", "passages"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        (["x"] * 2048, ["x"] * 2048),
        ([1, 0, 100_256], [[1, 0, 100_256]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["1"], ["1"]),
    ],
)
def test_embeddings_take_a_text_or_many_or_their_tokens(given: Any, passages: list[Any]) -> None:
    assert parse(EmbeddingsRequest, {"model": "m", "input": given}).passages() == passages


@pytest.mark.parametrize(
    "given",
    ["", [], ["one", ""], ["x"] * 2049, 5, None, [None], {"a": 1}, [[]], [[1], []], [-1], [[1], [-1]], [1.5], [True],
     [1, "one"], [[1], "one"], [[1]] * 2049],
)  # fmt: skip
def test_embeddings_of_anything_else_are_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(EmbeddingsRequest, {"model": "m", "input": given}).passages()
    assert str(caught.value.param).startswith("input")


@pytest.mark.parametrize(("member", "value"), [("encoding_format", "hex"), ("dimensions", 0), ("model", "")])
def test_a_wrong_member_of_an_embeddings_request_is_named(member: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(EmbeddingsRequest, {"model": "m", "input": "x", member: value})
    assert caught.value.param == member
