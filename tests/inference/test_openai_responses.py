"""Servers that speak /responses only: what a chat becomes there, and what comes back. Events are of the SDK's types."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from inference.providers.base import Chunk, Prompt, ProviderError, Usage
from inference.providers.openai_http import close_session
from inference.providers.responses import OpenAIResponses
from inference.providers.responses.request import responses_body
from tests.inference.test_openai_chat import CannedServer

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 29,
}
COUNTED = Usage(20, 9, cached_input_tokens=12, reasoning_tokens=4)
TEXT = {"type": "output_text", "text": "It rains.", "annotations": [], "logprobs": []}
MESSAGE = {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
CALL = {"id": "f1", "type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'}
THOUGHT = {"id": "r1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}


def response(output: list[dict[str, Any]], status: str = "completed", **more: Any) -> dict[str, Any]:
    """A response, which the SDK must be able to read."""
    found = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "up", "status": status, "output": output,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": USAGE, **more,
    }  # fmt: skip
    Response.model_validate(found)
    return found


def stream_of(*events: dict[str, Any]) -> bytes:
    """Server-sent events, each of which the SDK must be able to read."""
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    for event in numbered:
        _EVENT.validate_python(event)
    return b"".join(b"event: " + e["type"].encode() + b"\ndata: " + orjson.dumps(e) + b"\n\n" for e in numbered)


def delta(kind: str, text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    place = {"item_id": "i", "output_index": index, "content_index": 0}
    return {"type": f"response.{kind}.delta", "delta": text, **place, **more}


def ended(output: list[dict[str, Any]], status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": response(output, status, **more)}


@pytest.fixture(autouse=True)
async def _hang_up() -> AsyncIterator[None]:
    yield
    await close_session()


@pytest.fixture
def server() -> Iterator[CannedServer]:
    found = CannedServer()
    yield found
    found.shutdown()
    found.server_close()


def client(server: CannedServer) -> OpenAIResponses:
    return OpenAIResponses(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", model="up", api_key="sk-up")


ASKED = Prompt({"messages": [{"role": "user", "content": "Weather?"}]}, 50)


async def answered(server: CannedServer, body: dict[str, Any]) -> dict[str, Any]:
    server.body = orjson.dumps(body)
    found = await client(server).complete(ASKED)
    assert found.usage == COUNTED
    [choice] = found.choices
    return choice


async def streamed(server: CannedServer, body: bytes) -> list[Chunk]:
    server.headers, server.body = {"content-type": "text/event-stream"}, body
    return [chunk async for chunk in client(server).stream(ASKED)]


def choices_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [choice for chunk in chunks for choices in chunk.choices for choice in choices]


def test_a_conversation_becomes_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    tool = {
        "type": "function",
        "function": {"name": "weather", "description": "Of a city", "parameters": {"type": "object"}},
    }
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    schema = {"name": "reply", "schema": {"type": "object"}, "strict": True}
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "And here?"}, image]},
            {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "7 degrees"}]},
        ],
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "temperature": 0.0,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 7,
    }
    assert responses_body(Prompt(body, 50), "up") == {
        "model": "up",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "input_text", "text": "And here?"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
            ]},
            {"role": "assistant", "content": "Looking."},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "7 degrees"},
        ],
        "max_output_tokens": 50,
        "store": False,
        "temperature": 0.0,
        # Chat completions are not strict unless they say so.
        "tools": [{"type": "function", "name": "weather", "description": "Of a city", "parameters": {"type": "object"},
                   "strict": False}],
        "tool_choice": {"type": "function", "name": "weather"},
        "text": {"format": {"type": "json_schema", **schema}},
        "reasoning": {"effort": "low"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": ["END"]}, "stop"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages.0.tool_calls"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
    ],
)
def test_what_that_api_cannot_do_is_refused_with_the_parameters_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        responses_body(Prompt({"messages": [{"role": "user", "content": "x"}], **body}, 50), "m")
    assert (refused.value.status, refused.value.temporary, refused.value.param) == (400, False, param)


async def test_an_answer_becomes_a_choice(server: CannedServer) -> None:
    choice = await answered(server, response([THOUGHT, MESSAGE, CALL]))
    function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": "It rains.",
        "refusal": None,
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_cut_short_says_why(server: CannedServer, reason: str, finish: str) -> None:
    cut = response([MESSAGE], "incomplete", incomplete_details={"reason": reason})
    assert (await answered(server, cut))["finish_reason"] == finish


async def test_a_refusal_is_one(server: CannedServer) -> None:
    refused = {**MESSAGE, "content": [{"type": "refusal", "refusal": "I can't."}]}
    choice = await answered(server, response([refused]))
    assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "I can't.")
    chunks = await streamed(server, stream_of(delta("refusal", "I can't."), ended([refused])))
    assert choices_of(chunks)[0]["delta"] == {"refusal": "I can't."}


async def test_a_stream_of_thought_text_and_calls(server: CannedServer) -> None:
    begun = {**CALL, "arguments": "", "status": "in_progress"}
    now = {**CALL, "id": "f2", "call_id": "c2", "name": "now", "arguments": "{}"}
    token = {"token": "It", "logprob": -0.5, "bytes": [73, 116], "top_logprobs": []}
    done = {"type": "response.function_call_arguments.done", "item_id": "f2", "output_index": 3, "arguments": "{}"}
    body = stream_of(
        {"type": "response.created", "response": response([], "in_progress", usage=None)},
        {"type": "response.reasoning_summary_text.delta", "delta": "Hm.", "item_id": "r1", "output_index": 0,
         "summary_index": 0},
        delta("output_text", "It", 1, logprobs=[token]),
        delta("output_text", " rains.", 1, logprobs=[]),
        {"type": "response.output_item.added", "output_index": 2, "item": begun},
        {"type": "response.function_call_arguments.delta", "delta": '{"city":', "item_id": "f1", "output_index": 2},
        {"type": "response.function_call_arguments.delta", "delta": '"Oslo"}', "item_id": "f1", "output_index": 2},
        {**done, "item_id": "f1", "output_index": 2, "arguments": '{"city":"Oslo"}', "name": "weather"},
        {"type": "response.output_item.added", "output_index": 3, "item": {**now, "arguments": ""}},
        {**done, "name": "now"},
        ended([THOUGHT, MESSAGE, CALL, now]),
    )  # fmt: skip
    chunks = await streamed(server, body)
    choices = choices_of(chunks)
    assert [choice["delta"] for choice in choices] == [
        {"reasoning_content": "Hm."},
        {"content": "It"},
        {"content": " rains."},
        {
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert choices[1]["logprobs"] == {"content": [token]}
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert [chunk.usage for chunk in chunks if chunk.usage] == [COUNTED]


async def test_a_stream_without_parts_gives_the_answer_that_it_ends_with(server: CannedServer) -> None:
    chunks = await streamed(server, stream_of(ended([MESSAGE, CALL])))
    whole, end = choices_of(chunks)
    assert whole["delta"]["content"] == "It rains."
    assert whole["delta"]["tool_calls"][0]["index"] == 0
    assert end["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("error", "code", "status", "temporary"),
    [
        ({"code": "server_error", "message": "oops"}, "upstream_error", 502, True),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, "upstream_rate_limited", 503, True),
        ({"code": "invalid_prompt", "message": "no such thing"}, "invalid_prompt", 400, False),
    ],
)
async def test_a_failed_response_fails_whole_and_streamed(
    server: CannedServer, error: dict[str, str], code: str, status: int, temporary: bool
) -> None:
    failed = response([], "failed", error=error, usage=None)
    server.body = orjson.dumps(failed)
    event = {"type": "error", **error, "param": None}
    first = delta("output_text", "It", logprobs=[])
    for ask in (
        lambda: client(server).complete(ASKED),
        lambda: streamed(server, stream_of(first, {"type": "response.failed", "response": failed})),
        lambda: streamed(server, stream_of(first, event)),
        lambda: streamed(server, b"data: " + orjson.dumps({"error": error}) + b"\n\n"),
    ):
        with pytest.raises(ProviderError) as raised:
            await ask()
        assert (raised.value.code, raised.value.status, raised.value.temporary) == (code, status, temporary)


async def test_a_stream_that_breaks_off_or_is_none_fails(server: CannedServer) -> None:
    first = stream_of(delta("output_text", "It", logprobs=[]))
    orphan = {"type": "response.function_call_arguments.delta", "delta": "{", "item_id": "f", "output_index": 4}
    for body, code in [
        (first, "upstream_broke_off"),
        (b"", "upstream_broke_off"),
        (first + b"data: [DONE]\n\n", "upstream_broke_off"),
        (first + b"data: {half\n\n", "upstream_garbage"),
        (stream_of(orphan), "upstream_garbage"),
    ]:
        with pytest.raises(ProviderError) as raised:
            await streamed(server, body)
        assert raised.value.code == code


async def test_a_body_without_output_is_garbage_and_a_status_is_mapped_as_for_chats(server: CannedServer) -> None:
    server.body = b'{"object": "response"}'
    with pytest.raises(ProviderError) as raised:
        await client(server).complete(ASKED)
    assert raised.value.code == "upstream_garbage"
    server.status, server.body = 401, b"{}"
    with pytest.raises(ProviderError) as raised:
        await client(server).complete(ASKED)
    assert raised.value.code == "upstream_credentials"
