"""What Converse answers, as OpenAI's choices."""

from typing import Any

import pytest

from inference.providers.base import ProviderError, Usage
from inference.providers.bedrock.converse_answer import completion, usage_of


def answered(content: list[dict[str, Any]], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    [choice] = completion(
        {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop, **more}
    ).choices
    return choice


def test_thought_text_and_calls() -> None:
    use = {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}
    thought = {"reasoningText": {"text": "Hm.", "signature": "sig=="}}
    choice = answered([{"reasoningContent": thought}, {"text": "Look"}, {"text": "ing."}, {"toolUse": use}], "tool_use")
    function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "Looking.",
            "reasoning_content": "Hm.",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "sig=="}],
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        "finish_reason": "tool_calls",
    }


def test_a_call_alone_has_no_content_and_hidden_thought_is_not_shown() -> None:
    hidden = {"reasoningContent": {"redactedContent": b"\x00"}}
    message = answered([hidden, {"toolUse": {"toolUseId": "t", "name": "now", "input": {}}}])["message"]
    assert message["content"] is None and message["tool_calls"][0]["function"]["arguments"] == "{}"
    assert "reasoning_content" not in message


def test_cited_text_is_text() -> None:
    cited = {"citationsContent": {"content": [{"text": "It is "}, {"text": "so."}], "citations": []}}
    assert answered([cited])["message"]["content"] == "It is so."


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("malformed_model_output", "stop"),
        ("of the future", "stop"),
    ],
)
def test_every_reason_to_stop_is_one_of_openais(reason: str, finish: str) -> None:
    assert answered([{"text": "x"}], reason)["finish_reason"] == finish


def test_usage_counts_the_prompt_cache_as_input() -> None:
    assert usage_of({"inputTokens": 4, "outputTokens": 6, "totalTokens": 10}) == Usage(4, 6)
    cached = {"inputTokens": 4, "outputTokens": 6, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
    assert usage_of(cached) == Usage(124, 6, cached_input_tokens=100)
    assert usage_of(None) is usage_of({}) is None


@pytest.mark.parametrize("answer", [{}, {"output": None}, {"output": {"message": {}}}])
def test_an_answer_without_a_message_is_garbage(answer: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as failed:
        completion(answer)
    assert failed.value.code == "upstream_garbage"
