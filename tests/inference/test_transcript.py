"""An answer as it grows: the chunks that clients see, and the whole that is kept, are the same answer."""

import json
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from inference.providers.base import Chunk, Completion, Usage
from inference.transcript import DONE, Transcript
from knowledge.retrieval import Passage
from tenants.ids import uuid7

PASSAGE = Passage(uuid7(), "why.pdf", uuid7(), uuid7(), "Because.", 0.5, 2, 10, 18, {})
USAGE = Usage(7, 3, cached_input_tokens=2, reasoning_tokens=1)
USAGE_JSON = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def transcript(*, include_usage: bool = False) -> Transcript:
    return Transcript(id="chatcmpl-1", created=5, model="alias", passages=[PASSAGE], include_usage=include_usage)


def choice(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, **more}


def events(data: bytes) -> list[dict[str, Any]]:
    """The events as the SDK's chunks take them; each must hold against its type."""
    found = [json.loads(line.removeprefix(b"data: ")) for line in data.split(b"\n\n") if line and line != DONE.strip()]
    for event in found:
        ChatCompletionChunk.model_validate(event)
    return found


def test_the_first_delta_of_each_choice_carries_the_role() -> None:
    said = transcript()
    first, second, third = events(
        said.take(Chunk([[choice({"content": "a"})], [choice({"content": "b"}), choice({"content": "c"}, index=1)]]))
        + said.take(Chunk([[choice({"content": "d"}, index=1)]]))
    )
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert [part["delta"] for part in second["choices"]] == [{"content": "b"}, {"role": "assistant", "content": "c"}]
    assert third["choices"] == [{"index": 1, "delta": {"content": "d"}, "finish_reason": None}]
    assert (first["id"], first["created"], first["model"]) == ("chatcmpl-1", 5, "alias")


def test_usage_is_null_on_chunks_and_last_of_all_where_it_was_asked_for() -> None:
    said = transcript(include_usage=True)
    chunk = events(said.take(Chunk([[choice({"content": "a"}, "stop")]], USAGE)))
    assert chunk[0]["usage"] is None
    closing = said.closing(USAGE)
    assert closing.endswith(DONE)
    [last] = events(closing)
    assert (last["choices"], last["usage"]) == ([], USAGE_JSON)


def test_without_being_asked_for_no_chunk_speaks_of_usage() -> None:
    said = transcript()
    assert "usage" not in events(said.take(Chunk([[choice({"content": "a"}, "stop")]], USAGE)))[0]
    assert said.closing(USAGE) == DONE
    assert said.usage == USAGE


def test_a_finish_that_the_provider_forgot_is_added() -> None:
    said = transcript()
    said.take(Chunk([[choice({"content": "see [1]"}), choice({"content": "b"}, "length", index=1)]]))
    [late] = events(said.closing(USAGE))
    assert late["choices"][0]["index"] == 0 and late["choices"][0]["finish_reason"] == "stop"
    assert late["choices"][0]["delta"]["annotations"][0]["index"] == 4


def test_annotations_come_with_the_finish_reason() -> None:
    said = transcript()
    first, last = events(said.take(Chunk([[choice({"content": "so ["})], [choice({"content": "1]"}, "stop")]])))
    assert "annotations" not in first["choices"][0]["delta"]
    [citation] = last["choices"][0]["delta"]["annotations"]
    assert (citation["index"], citation["filename"], citation["page"]) == (3, "why.pdf", 2)
    whole = said.completion(USAGE)["choices"][0]["message"]
    assert (whole["content"], whole["annotations"]) == ("so [1]", [citation])


def test_tool_calls_are_put_together_by_their_index() -> None:
    said = transcript()
    deltas = [
        {"tool_calls": [{"index": 0, "id": "c0", "type": "function", "function": {"name": "now", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "c1", "type": "function", "function": {"name": "at", "arguments": '{"x"'}}]},
        {
            "tool_calls": [
                {"index": 0, "function": {"arguments": "{}"}},
                {"index": 1, "function": {"arguments": ": 1}"}},
            ]
        },
    ]
    for delta in deltas:
        events(said.take(Chunk([[choice(delta)]])))
    said.take(Chunk([[choice({}, "tool_calls")]]))
    whole = said.completion(USAGE)
    ChatCompletion.model_validate(whole)
    [answer] = whole["choices"]
    assert answer["finish_reason"] == "tool_calls"
    assert answer["message"]["content"] is None
    assert answer["message"]["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        {"id": "c1", "type": "function", "function": {"name": "at", "arguments": '{"x": 1}'}},
    ]
    assert "now" in said.text() and '"x"' in said.text()


def test_choices_refusals_and_logprobs_are_kept_each_for_itself() -> None:
    said = transcript()
    logprobs = {"content": [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
    chunk = [choice({"content": "a"}, logprobs=logprobs), choice({"refusal": "I "}, index=1)]
    sent = events(said.take(Chunk([chunk, [choice({"refusal": "won't"}, "stop", index=1)], [choice({}, "length")]])))
    assert sent[0]["choices"][0]["logprobs"] == logprobs
    whole = said.completion(USAGE)
    ChatCompletion.model_validate({**whole, "choices": [{**part, "logprobs": None} for part in whole["choices"]]})
    first, second = whole["choices"]
    assert (first["message"]["content"], first["finish_reason"], first["logprobs"]) == ("a", "length", logprobs)
    assert (second["message"]["content"], second["message"]["refusal"]) == (None, "I won't")
    assert (whole["usage"], whole["object"]) == (USAGE_JSON, "chat.completion")


def test_what_arrives_together_goes_on_together_in_order() -> None:
    said = transcript()
    sent = events(said.take(Chunk([[choice({"content": str(number)})] for number in range(50)])))
    assert [event["choices"][0]["delta"]["content"] for event in sent] == [str(number) for number in range(50)]
    assert said.text() == "".join(str(number) for number in range(50))


def test_a_whole_answer_gets_its_citations_and_every_member_of_the_shape() -> None:
    said = transcript()
    said.take_whole(Completion([{"message": {"content": "so [1]"}}, {"index": 1, "message": {"content": None}}], USAGE))
    whole = said.completion(USAGE)
    ChatCompletion.model_validate({**whole, "choices": [_without_annotations(part) for part in whole["choices"]]})
    first, second = whole["choices"]
    assert first["message"]["role"] == "assistant" and first["message"]["annotations"][0]["index"] == 3
    assert (first["finish_reason"], second["index"], "annotations" in second["message"]) == ("stop", 1, False)


def _without_annotations(part: dict[str, Any]) -> dict[str, Any]:
    """The SDK's type knows citations of the web only."""
    return {**part, "message": {name: value for name, value in part["message"].items() if name != "annotations"}}


def test_nothing_has_started_until_something_was_produced() -> None:
    said = transcript()
    assert not said.started and said.text() == ""
    assert said.take(Chunk()) == b"" and not said.started
    said.take(Chunk([[choice({})]]))
    assert said.started
