"""OpenAI's chat body as Converse takes it."""

from functools import lru_cache
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from inference.providers.base import Prompt, ProviderError
from inference.providers.bedrock.converse_request import converse_arguments

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city", "parameters": {"type": "object"}, "strict": True},
}


def converted(messages: list[dict[str, Any]], model: str = "anthropic.claude", **body: Any) -> dict[str, Any]:
    """The arguments, which boto3's own description of the service must accept."""
    found = converse_arguments(Prompt({"messages": messages, **body}, 50), model)
    assert not ParamValidator().validate(found, _shape()).has_errors()
    return found


@lru_cache(maxsize=1)
def _shape() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape


def user(text: str = "hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def pictured(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def test_a_conversation_with_tools_and_images() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    other = {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": ""}}
    found = converted(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [call, other],
             "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "sig=="}]},
            {"role": "tool", "tool_call_id": "c1", "content": "7 degrees"},
            {"role": "tool", "tool_call_id": "c2", "content": ""},
            {"role": "developer", "content": [{"type": "text", "text": "In English."}]},
            user("And now?"),
        ],
        tools=[WEATHER],
        tool_choice="required",
        stop="END",
        top_p=0.9,
        temperature=0,
    )  # fmt: skip
    asked, thought, answered = found["messages"]
    assert found["system"] == [{"text": "Be brief."}, {"text": "In English."}]
    assert [turn["role"] for turn in found["messages"]] == ["user", "assistant", "user"]
    text, cached, image = asked["content"]
    assert (text, cached) == ({"text": "What is this?"}, {"cachePoint": {"type": "default"}})
    assert image["image"]["format"] == "png" and image["image"]["source"]["bytes"].startswith(b"\x89PNG")
    assert thought["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig=="}}},
        {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Oslo"}}},
        {"toolUse": {"toolUseId": "c2", "name": "weather", "input": {}}},
    ]
    assert answered["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "7 degrees"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "(empty)"}]}},
        {"text": "And now?"},
    ]
    spec = {"name": "weather", "inputSchema": {"json": {"type": "object"}}, "description": "Of a city", "strict": True}
    assert found["toolConfig"] == {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}
    limits = {"maxTokens": 50, "temperature": 0, "topP": 0.9, "stopSequences": ["END"]}
    assert found["inferenceConfig"] == limits


def test_tools_follow_the_choice_and_the_conversation() -> None:
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "old", "arguments": "{}"}}],
    }
    answered = {"role": "tool", "tool_call_id": "1", "content": "x"}
    assert "toolConfig" not in converted([user()], tools=[WEATHER], tool_choice="none")
    assert "toolChoice" not in converted([user()], tools=[WEATHER], tool_choice="auto")["toolConfig"]
    named = converted([user()], tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}})
    assert named["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}
    # Bedrock refuses a conversation with calls that are not declared.
    [old] = converted([user(), called, answered])["toolConfig"]["tools"]
    assert old["toolSpec"]["name"] == "old"


def test_formats_and_effort() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
    found = converted([user()], response_format=wanted, reasoning_effort="minimal")["outputConfig"]
    kept = {"schema": '{"type":"object","properties":{"a":{"type":"integer"}}}', "name": "reply"}
    assert found == {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": kept}}, "effort": "low"}
    [only] = converted([user()], response_format={"type": "json_object"})["system"]
    assert "JSON object" in only["text"]
    gpt = converted([user()], model="openai.gpt-oss-120b-1:0", reasoning_effort="high")
    assert gpt["additionalModelRequestFields"] == {"reasoning_effort": "high"} and "outputConfig" not in gpt
    assert "outputConfig" not in converted([user()], reasoning_effort="none", response_format={"type": "text"})


def test_empty_texts_are_left_out_and_a_file_goes_along() -> None:
    given = {"filename": "bericht_März.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}
    parts = [{"type": "text", "text": ""}, {"type": "file", "file": given}, {"type": "text", "text": "Read."}]
    [turn] = converted([{"role": "user", "content": parts}, {"role": "assistant", "content": ""}])["messages"]
    document = {"format": "pdf", "name": "bericht M rz pdf", "source": {"bytes": b"%PDF"}}
    assert turn["content"] == [{"document": document}, {"text": "Read."}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"messages": [user("")]}, "messages"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0.type"),
        (
            {"messages": [user(), pictured("https://x")]},
            "messages.1.content.0",
        ),
        (
            {"messages": [pictured("data:image/png;base64,?")]},
            "messages.0.content.0",
        ),
        (
            {"messages": [pictured("data:image/svg;base64,AA==")]},
            "messages.0.content.0",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            "messages.0.content.0",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"messages": [user(), {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{half"}}]}]},
            "messages.1.tool_calls",
        ),
        (
            {"messages": [user(), {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages.1.tool_calls",
        ),
        ({"messages": [user(), {"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages.1.tool_calls"),
    ],
)  # fmt: skip
def test_what_bedrock_cannot_do_is_refused_with_the_parameters_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderError) as refused:
        converse_arguments(Prompt({"messages": [user()], **body}, 50), "m")
    assert (refused.value.status, refused.value.temporary, refused.value.param) == (400, False, param)


def test_what_changes_nothing_is_left_out() -> None:
    asked = converted([user()], n=1, logprobs=False, presence_penalty=0.0, seed=7, parallel_tool_calls=False)
    assert set(asked) == {"modelId", "messages", "inferenceConfig"}
