"""Choices on their way out: every text, tool calls, log-probabilities, several choices, and the chain with documents."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.grounded_output import GroundedOutput
from inference.outbound import Allowed
from inference.providers.base import Chunk, Completion, Usage
from inference.safety.compiled import compiled
from inference.safety.output import Chained, ScreenedOutput
from inference.safety.policy import SafetySettings
from inference.safety.verdicts import Verdicts
from inference.transcript import Transcript

TENANT = UUID(int=7)
LIST = ["Project Halcyon"]


def output(action: str = "mask", *, choices: int = 1, verdicts: Verdicts | None = None, **more: Any) -> ScreenedOutput:
    named = {"personal_data": {"action": action}, "deny_list": {"action": action}, **more}
    policy = compiled(SafetySettings.model_validate({"output": named, "deny_list": LIST}))
    return ScreenedOutput(
        policy.output,
        verdicts=Verdicts(TENANT) if verdicts is None else verdicts,
        choices=choices,
        tool_calls=policy.settings.output.tool_calls,
    )


def parts(deltas: list[dict[str, Any]], *, index: int = 0, finish: str = "stop") -> list[dict[str, Any]]:
    return [
        *({"index": index, "delta": delta, "finish_reason": None} for delta in deltas),
        {"index": index, "delta": {}, "finish_reason": finish},
    ]


def said(out: list[dict[str, Any]], member: str = "content") -> str:
    return "".join(part["delta"].get(member) or "" for part in out)


def pieces(text: str, size: int = 5) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def test_each_choice_is_screened_by_itself_and_ends_by_itself() -> None:
    passing = output("block", choices=2)
    texts = {0: "The plan is Project Halcyon, and more of it.", 1: "The plan is harmless, and more of it."}
    got: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
    for first, second in zip(
        *(parts([{"content": piece} for piece in pieces(texts[i], 6)], index=i) for i in (0, 1)), strict=False
    ):
        for part in (first, second):
            got[part["index"]].append(passing.part(part))
    for part in parts([{"content": piece} for piece in pieces(texts[0], 6)])[len(got[0]) :]:
        got[0].append(passing.part(part))
    assert said(got[0]) == "The plan is " and said(got[1]) == texts[1]
    assert [part["finish_reason"] for part in got[0] if part["finish_reason"]] == ["content_filter"]
    assert [part["finish_reason"] for part in got[1] if part["finish_reason"]] == ["stop"]
    assert not passing.ended


def test_when_every_choice_was_cut_off_nobody_need_write_on() -> None:
    passing = output("block", choices=1)
    passing.part(
        {"index": 0, "delta": {"content": "About Project Halcyon and so many other things"}, "finish_reason": None}
    )
    assert passing.ended
    assert passing.part({"index": 0, "delta": {"content": "more"}, "finish_reason": "stop"}) == {
        "index": 0, "delta": {}, "finish_reason": None,
    }  # fmt: skip


def test_reasoning_and_refusals_are_screened_too_and_keep_their_order() -> None:
    passing = output()
    deltas = [{"role": "assistant", "reasoning_content": "Mail ann@example.com"}, {"content": "Mail bob@example.com"}]
    out = [passing.part(part) for part in parts(deltas)]
    assert out[0]["delta"] == {"role": "assistant"}
    assert out[1]["delta"] == {"reasoning_content": "Mail <EMAIL_ADDRESS>"}
    assert out[2]["delta"] == {"content": "Mail <EMAIL_ADDRESS>"}


ARGUMENTS = (
    '{"to": "ann\\u0040example.com", "card": 4111111111111111, "n": [1, {"about": "project\\nhalcyon"}], "ok": true}'
)
MASKED = {"to": "<EMAIL_ADDRESS>", "card": "<CREDIT_CARD>", "n": [1, {"about": "<DENIED_TERM>"}], "ok": True}


def calls_of(text: str) -> list[dict[str, Any]]:
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "send", "arguments": ""}}
    return [{"tool_calls": [head]}] + [
        {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces(text, 7)
    ]


def test_arguments_of_tool_calls_come_out_whole_with_escapes_and_numbers_seen_through() -> None:
    passing = output()
    out = [passing.part(part) for part in parts(calls_of(ARGUMENTS), finish="tool_calls")]
    assert out[0]["delta"]["tool_calls"][0]["function"] == {"name": "send", "arguments": ""}
    assert all(not part["delta"] for part in out[1:-1])
    arguments = out[-1]["delta"]["tool_calls"][0]["function"]["arguments"]
    assert orjson.loads(arguments) == MASKED and out[-1]["finish_reason"] == "tool_calls"
    whole = output().message(
        {"message": {"tool_calls": [{"id": "1", "function": {"name": "send", "arguments": ARGUMENTS}}]}}, 0
    )
    assert orjson.loads(whole["message"]["tool_calls"][0]["function"]["arguments"]) == MASKED


def test_blocked_arguments_do_not_come_out_and_the_policy_may_leave_them_alone() -> None:
    out = [output("block").part(part) for part in parts(calls_of(ARGUMENTS), finish="tool_calls")][-1:]
    passing = output("block")
    out = [passing.part(part) for part in parts(calls_of(ARGUMENTS), finish="tool_calls")]
    assert out[-1]["finish_reason"] == "content_filter" and "tool_calls" not in out[-1]["delta"]
    left = output("block", tool_calls=False)
    deltas = calls_of(ARGUMENTS)
    assert [left.part(part)["delta"] for part in parts(deltas, finish="tool_calls")][:-1] == deltas


def logprob(text: str) -> dict[str, Any]:
    return {"content": [{"token": text, "logprob": -0.1, "bytes": None, "top_logprobs": []}], "refusal": None}


def test_log_probabilities_go_with_their_text_and_stop_where_something_was_masked() -> None:
    passing = output()
    text = (
        "The heron nests on the northern island and returns in spring. Write to ann@example.com for more. Goodbye now."
    )
    out = [
        passing.part({"index": 0, "delta": {"content": piece}, "finish_reason": None, "logprobs": logprob(piece)})
        for piece in pieces(text)
    ]
    out.append(passing.part({"index": 0, "delta": {}, "finish_reason": "stop"}))
    spelled = "".join(entry["token"] for part in out for entry in (part.get("logprobs") or {}).get("content", ()))
    assert said(out).endswith("Write to <EMAIL_ADDRESS> for more. Goodbye now.")
    assert text.startswith(spelled) and 20 < len(spelled) <= text.index("ann@")
    for content, kept in (("Nothing here.", True), ("Write to ann@example.com", False)):
        choice = {"message": {"content": content}, "logprobs": logprob(content), "finish_reason": "stop"}
        assert ("logprobs" in output().message(choice, 0)) == kept


def test_a_policy_that_only_flags_changes_and_delays_nothing_and_notes_all() -> None:
    verdicts = Verdicts(TENANT)
    passing = output("flag", verdicts=verdicts)
    given = parts(
        [{"content": piece, "audio": {"id": 1}} for piece in pieces("Write to ann@example.com about project halcyon.")]
    )
    assert [passing.part(part) for part in given] == given
    assert {(row.screen, row.action, row.count) for row in verdicts.rows(UUID(int=1))} == {
        ("personal_data", "flag", 1), ("deny_list", "flag", 1),
    }  # fmt: skip


def test_what_was_found_is_noted_without_what_was_read() -> None:
    verdicts = Verdicts(TENANT)
    passing = output(verdicts=verdicts)
    text = "ann@example.com, bob@example.com, ann@example.com " * 6
    passing.message({"message": {"content": text}}, 0)
    (row,) = verdicts.rows(UUID(int=1))
    assert (row.stage, row.screen, row.action, row.count, row.categories) == (
        "output", "personal_data", "mask", 18, ["EMAIL_ADDRESS"],
    )  # fmt: skip
    assert len(row.details) == 10 and "example" not in str(row.details)
    first, second, third = row.details[:3]
    assert (first["place"], first["start"], first["end"]) == ("choices.0.content", 0, 15)
    assert first["digest"] == third["digest"] != second["digest"]
    other = Verdicts(UUID(int=8))
    output(verdicts=other).message({"message": {"content": text}}, 0)
    assert other.rows(UUID(int=1))[0].details[0]["digest"] != first["digest"]


@pytest.mark.parametrize("stream", [False, True])
def test_after_documents_the_screens_have_the_last_word(stream: bool) -> None:
    """Taking a tag out joins what stood apart: the term is seen all the same."""
    chain = Chained(GroundedOutput(allowed=Allowed.within([]), tools=frozenset()), output("block"))
    transcript = Transcript(id="c", created=1, model="m", passages=[], include_usage=False, outgoing=chain)
    text = "It is Project <script>Halcyon, which is not for everybody to know of."
    if stream:
        for part in parts([{"content": piece} for piece in pieces(text)]):
            transcript.take(Chunk(choices=[[part]]))
    else:
        transcript.take_whole(Completion([{"message": {"content": text}, "finish_reason": "stop"}], None))
    choice = transcript.completion(Usage(1, 1))["choices"][0]
    assert (choice["message"]["content"].strip(), choice["finish_reason"]) == ("It is", "content_filter")
    assert text in transcript.text()
