"""Answers under a moderation model: held back in stretches, each let go when it was judged.

A stretch is judged together with the end of the one before, so that what stands across two is seen. A choice that is
judged harmful ends with `finish_reason: content_filter` where its last good stretch ended.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from ..providers.base import Chunk, Completion, Usage
from .moderation import UNJUDGED, Judgement, Moderation
from .output import CONTENT_FILTER
from .text import Action
from .verdicts import Verdicts

#: Characters of all choices together; some 250 tokens.
STRETCH = 1_000
_OVERLAP = 200
_TEXTS = ("reasoning_content", "reasoning", "content", "refusal")


class ModeratedOutput:
    """The answer of one call under a moderation model.

    Args:
        choices: how many the call asked for.
    """

    def __init__(self, moderation: Moderation, *, verdicts: Verdicts, choices: int) -> None:
        self._moderation = moderation
        self._verdicts = verdicts
        self._expected = choices
        self._before: dict[int, str] = {}
        self._fresh: dict[int, str] = {}
        self._blocked: set[int] = set()
        self._withheld: list[str] = []
        self.usage: Usage | None = None  #: as the provider counted it, whatever became of the answer

    @property
    def withheld(self) -> str:
        """Text that was produced and did not go out, or not yet, for counting."""
        return "".join([*self._withheld, *self._fresh.values()])

    async def whole(self, completion: Completion) -> Completion:
        """A whole answer, without the choices that are judged harmful."""
        self.usage = completion.usage
        for position, choice in enumerate(completion.choices):
            self._read(int(choice.get("index", position)), choice.get("message") or {})
        refused = await self._judge()
        choices = [
            _refused(choice, position) if int(choice.get("index", position)) in refused else choice
            for position, choice in enumerate(completion.choices)
        ]
        return Completion(choices, completion.usage)

    async def stream(
        self, chunks: AsyncGenerator[Chunk, None], begun: Callable[[], None]
    ) -> AsyncGenerator[Chunk, None]:
        """A stream, as far as it was judged; `begun` is told of its first piece, which nobody else sees yet."""
        waiting: list[Chunk] = []
        async with aclosing(chunks) as source:
            async for arrived in source:
                for chunk in _one_by_one(arrived):
                    finished = self._take(chunk)
                    waiting.append(chunk)
                    if finished or sum(map(len, self._fresh.values())) >= STRETCH:
                        for judged in await self._let_go(waiting):
                            yield judged
                        waiting = []
                        if len(self._blocked) >= self._expected:
                            return
        for judged in await self._let_go(waiting):
            yield judged

    def _take(self, chunk: Chunk) -> bool:
        """Read a chunk, without the choices that have ended here; whether it finishes one."""
        self.usage = chunk.usage or self.usage
        chunk.choices = [
            [choice for choice in choices if int(choice.get("index") or 0) not in self._blocked]
            for choices in chunk.choices
        ]
        finished = False
        for choices in chunk.choices:
            for choice in choices:
                self._read(int(choice.get("index") or 0), choice.get("delta") or {})
                finished |= bool(choice.get("finish_reason"))
        return finished

    def _read(self, index: int, said: dict[str, Any]) -> None:
        texts = [said[member] for member in _TEXTS if isinstance(said.get(member), str)]
        for call in said.get("tool_calls") or ():
            texts.append(str((call.get("function") or {}).get("arguments") or ""))
        if text := "".join(texts):
            self._fresh[index] = self._fresh.get(index, "") + text

    async def _let_go(self, waiting: list[Chunk]) -> list[Chunk]:
        refused = await self._judge()
        if not refused:
            return waiting
        for chunk in waiting:
            chunk.choices = [
                [choice for choice in choices if int(choice.get("index") or 0) not in refused]
                for choices in chunk.choices
            ]
        ends = [{"index": index, "delta": {}, "finish_reason": CONTENT_FILTER} for index in sorted(refused)]
        return [*waiting, Chunk(choices=[ends])]

    async def _judge(self) -> set[int]:
        """Judge what is new; returns the choices that end here."""
        fresh, self._fresh = self._fresh, {}
        if not fresh:
            return set()
        # What does not go out if this fails was produced all the same.
        self._withheld += fresh.values()
        judged = await self._moderation.judge([self._before.get(index, "") + text for index, text in fresh.items()])
        del self._withheld[-len(fresh) :]
        refused = set()
        for (index, text), judgement in zip(fresh.items(), judged, strict=True):
            self._before[index] = text[-_OVERLAP:]
            if self._note(index, judgement):
                refused.add(index)
                self._withheld.append(text)
        self._blocked |= refused
        return refused

    def _note(self, index: int, judgement: Judgement) -> bool:
        if not judgement.flagged:
            return False
        action: Action = "flag" if judgement is UNJUDGED else self._moderation.asked.action
        self._verdicts.judged("output", action, judgement.categories, f"choices.{index}")
        return action == "block"


def _one_by_one(chunk: Chunk) -> Iterator[Chunk]:
    """What arrived together, by its parts: a stretch is not to be longer because a server is fast."""
    for choices in chunk.choices:
        yield Chunk(choices=[choices])
    if chunk.usage:
        yield Chunk(usage=chunk.usage)


def _refused(choice: dict[str, Any], position: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": None}
    return {"index": choice.get("index", position), "message": message, "finish_reason": CONTENT_FILTER}
