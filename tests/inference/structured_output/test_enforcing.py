"""Answers that must match a schema: handed on, made again once, or failed; each answer of the model metered once."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from inference.providers.base import Chunk, Completion, Prompt, ProviderError, Usage
from inference.structured_output import InvalidStructuredOutput
from inference.structured_output.enforcing import Enforced

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PROMPT = Prompt(body={"messages": [{"role": "user", "content": "one two three"}]}, max_output_tokens=9)
USAGE = Usage(5, 2)
GOOD, BAD = '{"n": 1}', '{"n": "x"}'


class Script:
    """A model that answers by a script: texts of choices, or failures."""

    def __init__(self, *answers: list[str] | ProviderError, usage: Usage | None = USAGE) -> None:
        self._answers = list(answers)
        self._usage = usage
        self.prompts: list[Prompt] = []

    async def complete(self, prompt: Prompt) -> Completion:
        self.prompts.append(prompt)
        answer = self._answers.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        choices = [
            {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            for n, text in enumerate(answer)
        ]
        return Completion(choices, self._usage)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        yield Chunk()


def run(script: Script) -> tuple[Completion | Exception, list[tuple[Usage, bool]]]:
    """What came of it, and what was metered."""
    metered: list[tuple[Usage, bool]] = []
    enforced = Enforced(script, SCHEMA, lambda usage, *, estimated=False: metered.append((usage, estimated)))
    try:
        return asyncio.run(enforced.complete(PROMPT)), metered
    except (InvalidStructuredOutput, ProviderError) as error:
        return error, metered


def texts(found: Completion | Exception) -> list[Any]:
    assert isinstance(found, Completion)
    return [(choice["index"], choice["message"]["content"]) for choice in found.choices]


def test_what_matches_is_handed_on_and_left_to_its_reader_to_meter() -> None:
    found, metered = run(script := Script([GOOD]))
    assert texts(found) == [(0, GOOD)]
    assert (metered, script.prompts) == ([], [PROMPT])


def test_what_does_not_match_is_asked_for_again_with_the_reason() -> None:
    found, metered = run(script := Script([BAD], [GOOD]))
    assert texts(found) == [(0, GOOD)]
    assert metered == [(Usage(5, 2), False)]
    asked = script.prompts[1].body["messages"]
    assert asked[1] == {"role": "assistant", "content": BAD}
    assert "'x' is not of type 'integer'" in asked[2]["content"]


def test_each_choice_is_made_again_once_and_keeps_its_place() -> None:
    found, metered = run(Script([GOOD, BAD, "no"], ['{"n": 2}'], ['{"n": 3}']))
    assert texts(found) == [(0, GOOD), (1, '{"n": 2}'), (2, '{"n": 3}')]
    # The third answer is the one that is handed on.
    assert len(metered) == 2


def test_a_repair_that_does_not_match_either_fails_and_both_are_metered() -> None:
    found, metered = run(script := Script([BAD], ["no"]))
    assert isinstance(found, InvalidStructuredOutput) and "it is not JSON" in found.message
    assert "nor did it" in found.message
    assert len(script.prompts) == len(metered) == 2


def test_a_repair_that_fails_is_not_tried_elsewhere() -> None:
    away = ProviderError("away", code="upstream_error")
    found, metered = run(Script([BAD], away))
    # No ProviderError, which would have the whole call tried again.
    assert isinstance(found, InvalidStructuredOutput) and found.__cause__ is away
    assert metered == [(Usage(5, 2), False)]


def test_a_first_answer_that_fails_fails_as_ever() -> None:
    away = ProviderError("away", code="upstream_error")
    assert run(Script(away)) == (away, [])


def test_a_silent_provider_is_counted_by_us() -> None:
    _, metered = run(Script([BAD], [GOOD], usage=None))
    [(usage, estimated)] = metered
    assert estimated and usage.input_tokens > 3 and usage.output_tokens > 3


def streamed(*said: tuple[dict[str, Any], str | None]) -> tuple[int, Exception | None]:
    """How many chunks came, and what came after them."""

    class Streaming(Script):
        async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
            for delta, finish_reason in said:
                yield Chunk([[{"index": 0, "delta": delta, "finish_reason": finish_reason}]])

    async def chunks() -> tuple[int, Exception | None]:
        enforced, count = Enforced(Streaming(), SCHEMA, lambda usage, *, estimated=False: pytest.fail("metered")), 0
        try:
            async for _ in enforced.stream(PROMPT):
                count += 1
        except InvalidStructuredOutput as error:
            return count, error
        return count, None

    return asyncio.run(chunks())


def test_a_stream_is_looked_at_when_all_of_it_has_gone() -> None:
    assert streamed(({"content": '{"n":'}, None), ({"content": " 1}"}, None), ({}, "stop")) == (3, None)
    count, error = streamed(({"content": '{"n":'}, None), ({"content": ' "x"}'}, None), ({}, "stop"))
    assert count == 3 and isinstance(error, InvalidStructuredOutput) and "properties.n.type" in error.message
    # What is no answer is not looked at.
    assert streamed(({"content": '{"n":'}, None), ({}, "length")) == (2, None)
    assert streamed(({"refusal": "No."}, None), ({}, "stop")) == (2, None)
