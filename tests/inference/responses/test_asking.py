"""From bodies to chat requests: what is understood, what is refused and how, and what a small window leaves out."""

from typing import Any
from uuid import UUID

import pytest
from openai.types.responses import Response

from inference.prompts import Expanded
from inference.responses.asking import needs_reading
from inference.responses.chat_form import chat_request, messages_of
from inference.responses.objects import response_json
from inference.responses.prompted import response_body
from inference.responses.requests import understood
from inference.responses.trimming import blocks_of, left_out, newest_turn, without_oldest
from tenants.errors import InvalidRequest

USER = {"role": "user", "content": "Hello"}
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3}


def asked(**body: Any) -> dict[str, Any]:
    """The chat request, without what was left to its default."""
    request = understood({"model": "m", "input": "hi", **body})
    messages, _ = messages_of([], request.items)
    return chat_request(request, messages).model_dump(exclude_none=True, exclude_defaults=True)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": []}, "input", None),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input.0.type", "unsupported_item"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role", None),
        ({"input": [{"role": "user", "content": []}]}, "input.0.content", None),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text", None),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input.0.content.0",
         "unsupported_item"),
        ({"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]}, "input.0.content.0.type",
         "unsupported_item"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input.0.arguments", None),
        ({"input": [USER] * 2049}, "input", None),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "unsupported_tool"),
        ({"tools": [FUNCTION, {"type": "function"}]}, "tools.1.name", None),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools.0.vector_store_ids", None),
        ({"tools": [SEARCH, SEARCH]}, "tools", None),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [FUNCTION]}, "tool_choice", None),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice", "unsupported_tool"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format", None),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id", None),
        ({"background": True, "store": False}, "store", None),
        ({"conversation": "conv_1", "store": False}, "store", None),
        ({"metadata": {"k" * 65: "v"}}, "metadata", None),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", None),
        ({"top_logprobs": 21}, "top_logprobs", None),
        ({"include": ["secrets"]}, "include.0", None),
        ({"temperature": 3}, "temperature", None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(body: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        understood({"model": "m", "input": "hi", **body})
    assert refused.value.param == param and refused.value.code == (code or "invalid_value")


def test_what_must_be_read_first_is_known_from_the_body() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    for body in ({"input": "previous_response_id"}, {"input": [USER, call]}, {}, {"previous_response_id": None}):
        assert not needs_reading(body)
    reference = {"type": "item_reference", "id": "msg_1"}
    for body in ({"previous_response_id": "x"}, {"conversation": {}}, {"input": [reference]}, {"input": [{"id": "x"}]}):
        assert needs_reading(body)
    # Whatever needs it is found, or the event loop would be asked to wait for the database.
    assert understood({"model": "m", "input": [{"type": "", "id": "msg_1"}]}).names_items
    assert needs_reading({"input": [{"type": "", "id": "msg_1"}]})


def test_a_text_becomes_a_message_and_instructions_stand_first() -> None:
    assert asked(instructions="Be brief.")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


def test_parts_calls_and_outputs_become_chat_messages() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    items = [
        {"role": "developer", "content": "Rules"},
        {"role": "user", "content": [{"type": "input_text", "text": "Look"}, image]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hmm"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
    ]
    assert asked(input=items)["messages"] == [
        {"role": "developer", "content": "Rules"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]


def test_a_call_without_its_output_and_an_output_without_its_call_are_refused() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "a", "output": "1"}
    with pytest.raises(InvalidRequest, match="No tool output found for function call a"):
        asked(input=[USER, call])
    with pytest.raises(InvalidRequest, match="No tool call found for function call output with call_id a"):
        asked(input=[USER, output])
    # What remains of an older history is no fault of the client's.
    messages, past = messages_of(
        [output, {"type": "message", **USER, "content": [{"type": "input_text", "text": "x"}]}], []
    )
    assert [message["role"] for message in messages] == ["user"] and past == 1


def test_tools_formats_and_parameters_are_translated() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    chat = asked(
        tools=[FUNCTION, SEARCH], tool_choice={"type": "function", "name": "f"}, text={"format": schema},
        parallel_tool_calls=False, reasoning={"effort": "high"}, top_logprobs=2, max_output_tokens=9, stream=True,
        temperature=0.1, top_p=0.2, safety_identifier="u", include=["message.output_text.logprobs"],
    )  # fmt: skip
    assert chat["tools"][0] == {"type": "function", "function": {k: FUNCTION[k] for k in FUNCTION if k != "type"}}
    assert chat["tools"][1]["type"] == "file_search" and chat["tools"][1]["max_num_results"] == 3
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert chat["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "description": "d", "strict": True, "schema": {"type": "object"}},
    }
    assert (chat["logprobs"], chat["top_logprobs"], chat["max_tokens"]) == (True, 2, 9)
    assert (chat["reasoning_effort"], chat["parallel_tool_calls"], chat["stream"]) == ("high", False, True)
    assert (chat["temperature"], chat["top_p"], chat["safety_identifier"]) == (0.1, 0.2, "u")


def test_tool_choice_narrows_the_tools() -> None:
    other = {**FUNCTION, "name": "g"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    chat = asked(tools=[FUNCTION, other, SEARCH], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["g"] and chat["tool_choice"] == "required"
    none = asked(tools=[FUNCTION, SEARCH], tool_choice="none")
    assert [tool["type"] for tool in none["tools"]] == ["function"] and none["tool_choice"] == "none"
    assert asked(tools=[SEARCH, FUNCTION], tool_choice={"type": "file_search"})["tool_choice"] == "auto"


# trimming ------------------------------------------------------------------------------------------------------------


def said(role: str, words: int, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": " ".join(["word"] * words), **more}


def words_of(text: str) -> int:
    return len(text.split())


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_the_oldest_turns_go_first_and_an_answer_goes_with_its_question() -> None:
    # Each costs its words and 4; a word has 5 bytes, so nothing fits without counting.
    messages = [said("system", 6), said("user", 96), said("assistant", 96), said("user", 96), said("assistant", 96),
                said("user", 6)]  # fmt: skip
    assert left_out(messages, keep_from=5, room=10_000, count=words_of) == 0
    assert left_out(messages, keep_from=5, room=420, count=words_of) == 0
    # 320 is enough without the first question; its answer would then stand first.
    assert left_out(messages, keep_from=5, room=320, count=words_of) == 2
    assert without_oldest(messages, keep_from=5, dropped=2) == [messages[0], *messages[3:]]
    assert left_out(messages, keep_from=5, room=20, count=words_of) == 4
    assert without_oldest(messages, keep_from=5, dropped=4) == [messages[0], messages[5]]
    assert left_out(messages, keep_from=5, room=19, count=words_of) is None


def test_a_call_is_never_cut_from_its_output() -> None:
    messages = [said("user", 50), said("assistant", 0, tool_calls=[CALL]), said("tool", 50), said("assistant", 50),
                said("user", 50)]  # fmt: skip
    assert [(block.start, block.end) for block in blocks_of(messages)] == [(0, 1), (1, 3), (3, 4), (4, 5)]
    dropped = left_out(messages, keep_from=4, room=130, count=words_of)
    assert dropped is not None
    roles = [message["role"] for message in without_oldest(messages, keep_from=4, dropped=dropped)]
    assert roles == ["user"]  # the answer that would stand first went too
    # The output is the input, its call stands before it: neither may go.
    messages = [said("user", 50), said("assistant", 0, tool_calls=[CALL]), said("tool", 50)]
    assert left_out(messages, keep_from=2, room=70, count=words_of) == 1
    assert without_oldest(messages, keep_from=2, dropped=1) == messages[1:]
    assert left_out(messages, keep_from=2, room=50, count=words_of) is None


def test_the_newest_turn_begins_at_the_last_question() -> None:
    messages = [said("user", 1), said("assistant", 1), said("user", 1), said("assistant", 1, tool_calls=[CALL]),
                said("tool", 1)]  # fmt: skip
    assert newest_turn(messages, before=0) == 2
    assert newest_turn(messages, before=3) == 3  # the input has no question: all of it stays


def test_images_count_though_they_have_no_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    messages = [{"role": "user", "content": [picture, picture]}, said("user", 1)]
    assert left_out(messages, keep_from=1, room=5_000, count=words_of) == 0
    assert left_out(messages, keep_from=1, room=4_000, count=words_of) == 1


# prompts -------------------------------------------------------------------------------------------------------------


def test_a_prompt_becomes_instructions_and_fills_what_the_request_leaves_out() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}
    expanded = Expanded(
        messages=[
            {"role": "system", "content": "You know herons."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]},
            {"role": "assistant", "content": "I see."},
        ],
        defaults={
            "model": "m", "temperature": 0.1, "max_completion_tokens": 50, "reasoning_effort": "low", "stop": ["END"],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "parallel_tool_calls": False,
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        },
        prompt_id=UUID(int=1), version_id=UUID(int=2), number=7,
    )  # fmt: skip
    body = response_body(
        {"prompt": {"id": "pmpt_1", "variables": {"a": "b"}}, "input": "hi", "instructions": "Be brief.", "temperature": 0.9},
        expanded,
    )  # fmt: skip
    request = understood(body)
    chat = chat_request(request, messages_of([], request.items)[0]).model_dump(exclude_none=True, exclude_defaults=True)
    assert [message["role"] for message in chat["messages"]] == ["system", "user", "assistant", "system", "user"]
    assert chat["messages"][1]["content"][1] == {
        "type": "image_url", "image_url": {"url": "https://a.example/x.png", "detail": "auto"}
    }  # fmt: skip
    assert (chat["temperature"], chat["max_tokens"], chat["reasoning_effort"], chat["stop"]) == (
        0.9,
        50,
        "low",
        ["END"],
    )
    assert chat["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert chat["response_format"]["json_schema"] == {"name": "n", "schema": {"type": "object"}}
    # The client reads which version it was, and what it said.
    shown = Response.model_validate(response_json(request, id=UUID(int=3), created=1, status="queued"))
    assert shown.prompt is not None and shown.prompt.version == "7" and shown.prompt.variables == {"a": "b"}
    assert isinstance(shown.instructions, list) and len(shown.instructions) == 4
    own_tools = response_body({"prompt": {"id": "pmpt_1"}, "tools": [SEARCH]}, expanded)
    assert own_tools["tools"] == [SEARCH] and "tool_choice" not in own_tools
    terse = response_body({"prompt": {"id": "pmpt_1"}, "text": {"verbosity": "low"}}, expanded)
    assert (terse["text"]["verbosity"], terse["text"]["format"]["name"]) == ("low", "n")
