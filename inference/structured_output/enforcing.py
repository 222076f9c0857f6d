"""A provider whose whole answers match a schema, or fail: what does not match is asked for once more."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..metering import estimate
from ..providers.base import Chunk, Completion, Prompt, ProviderError, TextProvider, Usage
from ..threads import in_thread
from .matching import Mismatch
from .repairing import InvalidStructuredOutput, first_mismatch, repair_prompt

#: Takes the usage of an answer that nobody will see, and whether it is our own count.
Meter = Callable[[Usage, bool], None]


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
        """As the provider makes it: nothing can be taken back, so the reader checks it at the end."""
        async for chunk in self._provider.stream(prompt):
            yield chunk

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
        counted = known or estimate(prompt=str(prompt.body["messages"]), output=_text(completion))
        self._meter(counted, known is None)


def _text(completion: Completion) -> str:
    return "\n".join(str((choice.get("message") or {}).get("content") or "") for choice in completion.choices)
