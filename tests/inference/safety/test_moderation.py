"""Moderation models: what servers answer, in which stretches answers are judged, and what comes of each judgement."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.models import Deployment, TenantDeployment
from inference.providers.base import Chunk, Completion, ProviderError, Usage
from inference.providers.bedrock.guardrails import Finding, GuardrailVerdict
from inference.providers.openai_http import close_session
from inference.safety import moderation
from inference.safety.moderated_stream import STRETCH, ModeratedOutput
from inference.safety.moderation import Judgement, Moderation, ModerationAway, OpenAIModeration, Source
from inference.safety.output import every_choice_ends
from inference.safety.policy import ModerationSettings
from inference.safety.verdicts import Verdicts

TENANT = UUID(int=7)


class Server:
    """Answers every POST with one body, over a real socket; `asked` is what came."""

    def __init__(self, status: int, body: bytes) -> None:
        lines = (
            f"HTTP/1.1 {status} x",
            "connection: close",
            "content-type: application/json",
            f"content-length: {len(body)}",
        )
        self._head = "\r\n".join((*lines, "", "")).encode()
        self._body = body
        self.asked: list[dict[str, Any]] = []
        self.authorization = ""

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await close_session()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        self.authorization = headers.get("authorization", "")
        self.asked.append(orjson.loads(await reader.readexactly(int(headers["content-length"]))))
        writer.write(self._head + self._body)
        await writer.drain()
        writer.close()

    def judge(self, **thresholds: float) -> OpenAIModeration:
        return OpenAIModeration(Deployment(base_url=self.url, upstream_model="omni", api_key="sk-key"), thresholds)


def result(flagged: bool, **scores: float) -> dict[str, Any]:
    return {
        "flagged": flagged,
        "categories": {name: score > 0.5 for name, score in scores.items()},
        "category_scores": scores,
    }


async def test_a_server_is_asked_for_all_texts_at_once_and_says_what_it_flags() -> None:
    results = [result(True, violence=0.9, hate=0.1), result(False, violence=0.3)]
    async with Server(200, orjson.dumps({"results": results})) as server:
        judged = await server.judge().judge(["a", "b"], "INPUT")
        assert judged == [Judgement(True, {"violence": 0.9}), Judgement(False, {})]
        assert server.asked == [{"model": "omni", "input": ["a", "b"]}] and server.authorization == "bearer sk-key"
        stricter = await server.judge(violence=0.25, unknown=0.1).judge(["a", "b"], "INPUT")
        assert stricter == [Judgement(True, {"violence": 0.9}), Judgement(True, {"violence": 0.3})]


async def test_a_tenants_own_server_must_stand_at_a_public_address() -> None:
    async with Server(200, b"{}") as server:
        own = TenantDeployment(base_url=server.url, upstream_model="omni")
        with pytest.raises(ProviderError) as refusal:
            await OpenAIModeration(own, {}).judge(["a"], "INPUT")
    assert refusal.value.code == "upstream_not_public" and server.asked == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"), (401, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b'{"results": []}'),
        (200, b'{"results": [{"flagged": true}, {"flagged": true}]}'), (200, b'{"results": ["x"]}'),
        (200, b'{"results": [{"categories": {}}]}'), (200, b'{"results": [{"flagged": true, "category_scores": {"a": "x"}}]}'),
    ],
)  # fmt: skip
async def test_what_is_no_judgement_is_a_failure(status: int, body: bytes) -> None:
    async with Server(status, body) as server:
        with pytest.raises(ProviderError):
            await server.judge().judge(["a"], "INPUT")


def asking(**settings: Any) -> Moderation:
    asked = ModerationSettings.model_validate({"action": "block", "model": "judge", **settings})
    return Moderation(asked, call_id=UUID(int=1), source="OUTPUT", numbers=itertools.count(1))


class Judging(Moderation):
    """Finds harm where a text says `harm`; asks nobody, so nothing is held."""

    def __init__(self, **settings: Any) -> None:
        known = asking(**settings)
        super().__init__(known.asked, call_id=UUID(int=1), source="OUTPUT", numbers=itertools.count(1))
        self.texts: list[str] = []

    async def judge(self, texts: Sequence[str]) -> list[Judgement]:
        self.texts += texts
        return [Judgement("harm" in text, {"violence": 0.9} if "harm" in text else {}) for text in texts]


async def test_long_texts_are_judged_in_pieces_and_flagged_where_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    async def ask(self: Moderation, texts: list[str]) -> list[Judgement]:
        asked.append(texts)
        return [Judgement(text.endswith("!"), {"violence": len(text) / 1e5}) for text in texts]

    monkeypatch.setattr(Moderation, "_ask", ask)
    judged = await asking().judge(["x" * 10_000 + "y" * 4_999 + "!", "z"])
    assert [len(text) for text in asked[0]] == [10_000, 5_000, 1]
    assert judged == [Judgement(True, {"violence": 0.1}), Judgement(False, {"violence": 1e-5})]
    assert await asking().judge([]) == [] and len(asked) == 1


async def test_away_is_an_error_or_a_note_as_the_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(self: Moderation, texts: list[str]) -> list[Judgement]:
        raise ProviderError("away", code="upstream_error")

    monkeypatch.setattr(Moderation, "_ask", ask)
    with pytest.raises(ModerationAway) as failure:
        await asking().judge(["a"])
    assert (failure.value.status, failure.value.headers) == (503, {"retry-after": "2"})
    judged = await asking(when_away="allow").judge(["a", "b"])
    assert judged == [moderation.UNJUDGED] * 2


async def chunks_of(text: str, size: int = 50, *, finish: str | None = "stop") -> AsyncGenerator[Chunk, None]:
    for start in range(0, len(text), size):
        yield Chunk(choices=[[{"index": 0, "delta": {"content": text[start : start + size]}, "finish_reason": None}]])
    if finish:
        yield Chunk(choices=[[{"index": 0, "delta": {}, "finish_reason": finish}]], usage=Usage(3, 9))


async def through(output: ModeratedOutput, chunks: AsyncGenerator[Chunk, None]) -> tuple[str, list[str]]:
    parts = [
        choice async for chunk in output.stream(chunks, lambda: None) for choices in chunk.choices for choice in choices
    ]
    text = "".join(part["delta"].get("content") or "" for part in parts)
    return text, [part["finish_reason"] for part in parts if part["finish_reason"]]


def moderated(judging: Moderation, choices: int = 1) -> tuple[ModeratedOutput, Verdicts]:
    verdicts = Verdicts(TENANT)
    return ModeratedOutput(judging, verdicts=verdicts, choices=choices), verdicts


async def test_a_stream_goes_out_stretch_by_stretch_each_judged_with_the_end_of_the_last() -> None:
    judging = Judging()
    output, verdicts = moderated(judging)
    text = "The heron nests on the northern island. " * 60
    assert await through(output, chunks_of(text)) == (text, ["stop"])
    assert [len(judged) for judged in judging.texts] == [STRETCH, STRETCH + 200, len(text) - 2 * STRETCH + 200]
    assert output.usage == Usage(3, 9) and output.withheld == "" and not verdicts.rows(UUID(int=1))


async def test_a_choice_ends_where_its_last_good_stretch_ended_even_where_harm_stands_across_two() -> None:
    judging = Judging()
    output, verdicts = moderated(judging)
    good = "x" * (STRETCH - 2) + "ha"
    text, finish = await through(output, chunks_of(good + "rm them " * 300))
    assert (text, finish) == (good, ["content_filter"])
    assert output.withheld == ("rm them " * 300)[:STRETCH]
    (row,) = verdicts.rows(UUID(int=1))
    assert (row.screen, row.action, row.categories, row.details[0]["place"]) == (
        "moderation", "block", ["violence"], "choices.0",
    )  # fmt: skip


async def test_flagging_lets_everything_pass_and_notes_it() -> None:
    output, verdicts = moderated(Judging(action="flag"))
    assert await through(output, chunks_of("harm " * 30)) == ("harm " * 30, ["stop"])
    assert [row.action for row in verdicts.rows(UUID(int=1))] == ["flag"]


async def test_of_whole_answers_the_harmless_choices_are_answered() -> None:
    output, _ = moderated(Judging(), choices=2)
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": "harm"}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": "well"}, "finish_reason": "stop"},
    ]
    done = await output.whole(Completion(choices, Usage(1, 2)))
    refused = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}
    assert done.choices == [refused, choices[1]] and done.usage == Usage(1, 2) and output.withheld == "harm"


async def test_what_was_made_before_the_judge_went_away_is_counted() -> None:
    class Away(Judging):
        async def judge(self, texts: Sequence[str]) -> list[Judgement]:
            raise ModerationAway

    output, _ = moderated(Away())
    with pytest.raises(ModerationAway):
        await through(output, chunks_of("y" * 3_000))
    assert output.withheld == "y" * STRETCH


async def test_a_server_that_forgets_to_finish_ends_its_choices_all_the_same() -> None:
    ends = [chunk async for chunk in every_choice_ends(chunks_of("abc", finish=None))][-1]
    assert ends.choices == [[{"index": 0, "delta": {}, "finish_reason": "stop"}]]
    assert len([chunk async for chunk in every_choice_ends(chunks_of("abc"))]) == 2
    parts = [choices for chunk in [chunk async for chunk in chunks_of("x" * 1_000)] for choices in chunk.choices]

    async def at_once() -> AsyncGenerator[Chunk, None]:
        yield Chunk(choices=parts, usage=Usage(1, 2))

    small = [chunk async for chunk in every_choice_ends(at_once())]
    assert [len(chunk.choices) for chunk in small] == [8, 8, 5] and [chunk.usage for chunk in small][-1] == Usage(1, 2)
    assert [choices for chunk in small for choices in chunk.choices] == parts


async def test_a_guardrail_is_named_with_its_version_and_what_it_would_mask_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str, Source, list[str]]] = []

    async def apply(account: Any, *, guardrail_id: str, version: str, source: Source, texts: list[str]) -> Any:
        asked.append((guardrail_id, version, source, texts))
        found = (Finding("contentPolicy", "VIOLENCE", "BLOCKED"),)
        return [GuardrailVerdict(True, True, None, found, {}), GuardrailVerdict(False, False, None, (), {})]

    monkeypatch.setattr(moderation, "apply_guardrail", apply)
    for name in ("gr1:3", "arn:aws:bedrock:eu-central-1:1:guardrail/gr1", "gr1:DRAFT"):
        deployment = Deployment(provider="bedrock", region="eu-central-1", upstream_model=name)
        judged = await moderation.judge_of(deployment, {}).judge(["a", "b"], "OUTPUT")
    assert judged == [Judgement(True, {"contentPolicy:VIOLENCE": None}), Judgement(False, {})]
    assert [one[:3] for one in asked] == [
        ("gr1", "3", "OUTPUT"), ("arn:aws:bedrock:eu-central-1:1:guardrail/gr1", "DRAFT", "OUTPUT"), ("gr1", "DRAFT", "OUTPUT"),
    ]  # fmt: skip
