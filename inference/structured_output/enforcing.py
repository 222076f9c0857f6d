"""A provider whose whole answers match a schema, or fail: what does not match is asked for once more."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from ..metering import estimate_of
from ..providers.base import Chunk, Completion, Prompt, ProviderError, TextProvider, Usage
from ..threads import in_thread
from .matching import Mismatch
from .repairing import InvalidStructuredOutput, first_mismatch, repair_prompt, strict_schema


class Meter(Protocol):
    """Takes the usage of an answer that nobody will see."""

    def __call__(self, usage: Usage, *, estimated: bool = False) -> None:
        """`estimated`: by our own count."""


class Enforced:
    """A provider in front of another.

    Args:
        schema: what each choice must match; it was checked (`schemas`).
        meter: the usage of answers that were repaired or given up; the one that is handed on is its reader's to meter.
    """

    def __init__(self, provider: TextProvider, schema: dict[str, Any], meter: Meter) -> None:
        self._provider = provider
        self._schema = schema
        self._meter = meter

    async def complete(self, prompt: Prompt) -> Completion:
        """The whole answer.

        Raises:
            InvalidStructuredOutput: it does not match, nor does its repair.
            ProviderError: the first answer failed.
        """
        completion = await self._provider.complete(prompt)
        for _ in completion.choices:  # each choice is made again once at most
            found = await in_thread(first_mismatch, self._schema, completion.choices)
            if found is None:
                return completion
            completion = await self._repaired(prompt, completion, *found)
        return completion

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """The answer as it is made. Nothing of it can be taken back, so it is looked at when all of it has gone.

        Raises:
            InvalidStructuredOutput: it does not match, after the last chunk.
        """
        said: dict[int, dict[str, Any]] = {}
        async with aclosing(self._provider.stream(prompt)) as chunks:
            async for chunk in chunks:
                for choice in (choice for choices in chunk.choices for choice in choices):
                    _gather(said, choice)
                yield chunk
        found = await in_thread(first_mismatch, self._schema, [said[index] for index in sorted(said)])
        if found is not None:
            raise InvalidStructuredOutput(found[1], repaired=False)

    async def _repaired(self, prompt: Prompt, completion: Completion, position: int, fault: Mismatch) -> Completion:
        """The answer with one of its choices made again."""
        self._count(prompt, completion)
        wrong = completion.choices[position]
        asked = repair_prompt(prompt, wrong, fault)
        try:
            again = await self._provider.complete(asked)
        except ProviderError as error:
            # Another attempt of the whole call would not be paid for.
            raise InvalidStructuredOutput(fault, repaired=False) from error
        still = await in_thread(first_mismatch, self._schema, again.choices[:1])
        if still is not None:
            self._count(asked, again)
            raise InvalidStructuredOutput(still[1], repaired=True)
        choices = list(completion.choices)
        choices[position] = {**again.choices[0], "index": wrong.get("index", position)}
        return Completion(choices, again.usage)

    def _count(self, prompt: Prompt, completion: Completion) -> None:
        known = completion.usage
        counted = known or estimate_of(prompt, output=_text(completion))
        self._meter(counted, estimated=known is None)


def _text(completion: Completion) -> str:
    return "\n".join(str((choice.get("message") or {}).get("content") or "") for choice in completion.choices)


def enforced(provider: TextProvider, prompt: Prompt, meter: Meter) -> TextProvider:
    """The provider for a prompt: with an enforcer in front where its answers must match a schema."""
    schema = strict_schema(prompt.body.get("response_format"))
    return provider if schema is None else Enforced(provider, schema, meter)


def _gather(said: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    """Add a part of a stream to what its choice said before."""
    known = said.setdefault(int(choice.get("index") or 0), {"message": {"content": ""}, "finish_reason": None})
    message, delta = known["message"], choice.get("delta") or {}
    message["content"] += str(delta.get("content") or "")
    message |= {name: delta[name] for name in ("refusal", "tool_calls") if delta.get(name)}
    known["finish_reason"] = choice.get("finish_reason") or known["finish_reason"]
