"""The choices of one call on their way out, under a policy's local screens (as `grounded_output`, whose interface it has).

Each text of each choice passes by itself (`text.ScreenedText`). Where a find is blocked the choice ends before it with
`finish_reason: content_filter`, and nothing more of it comes out. Arguments of tool calls are held back until they are
whole. Log-probabilities spell the text: they go out with the text they belong to, and no longer once something of it was
replaced. Members that nobody here understands (an upstream's audio, links of its own) do not go out.

A policy that only flags holds nothing back and changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from ..providers.base import Chunk
from .text import ActiveScreen, Note, ScreenedText, screened
from .tool_arguments import screened_arguments
from .verdicts import Verdicts

CONTENT_FILTER = "content_filter"
#: Parts of a stream that are looked at in one go.
_AT_ONCE = 8
#: In the order in which a model writes them.
_TEXTS = ("reasoning_content", "reasoning", "content", "refusal")


class Outgoing(Protocol):
    """Choices on their way out."""

    def part(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A part of a stream."""

    def message(self, choice: dict[str, Any], position: int) -> dict[str, Any]:
        """A whole choice."""


class Chained:
    """What one lets through goes to the next."""

    def __init__(self, *steps: Outgoing) -> None:
        self._steps = steps

    def part(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A part of a stream, through all."""
        for step in self._steps:
            choice = step.part(choice)
        return choice

    def message(self, choice: dict[str, Any], position: int) -> dict[str, Any]:
        """A whole choice, through all."""
        for step in self._steps:
            choice = step.message(choice, position)
        return choice


async def every_choice_ends(chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """A stream in small pieces, whose choices all say that they have finished.

    Where a server forgets to, what is held back comes out at the end; where it sends much at once, other calls have a turn
    while it is looked at.
    """
    unfinished: set[int] = set()
    async with aclosing(chunks) as source:
        async for chunk in source:
            for start in range(0, max(len(chunk.choices), 1), _AT_ONCE):
                if start:
                    await asyncio.sleep(0)
                parts = chunk.choices[start : start + _AT_ONCE]
                for choice in (choice for choices in parts for choice in choices):
                    follow = unfinished.discard if choice.get("finish_reason") else unfinished.add
                    follow(int(choice.get("index") or 0))
                last = start + _AT_ONCE >= len(chunk.choices)
                yield Chunk(choices=parts, usage=chunk.usage if last else None)
    if unfinished:
        yield Chunk(choices=[[{"index": index, "delta": {}, "finish_reason": "stop"} for index in sorted(unfinished)]])


class ScreenedOutput:
    """The choices of one call under some screens.

    Args:
        choices: how many the call asked for.
        tool_calls: whether the arguments of tool calls are looked at.
    """

    def __init__(
        self, screens: Sequence[ActiveScreen], *, verdicts: Verdicts, choices: int = 1, tool_calls: bool = True
    ) -> None:
        self._screens = screens
        self._verdicts = verdicts
        self._expected = choices
        self._tool_calls = tool_calls
        self._flags_only = all(active.action == "flag" for active in screens)
        self._choices: dict[int, _Choice] = {}

    @property
    def ended(self) -> bool:
        """Whether every choice was cut off: what the model still writes goes nowhere."""
        return len(self._choices) >= self._expected and all(choice.blocked for choice in self._choices.values())

    def part(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A part of a stream; what is held back comes out when it says that it has finished."""
        out = self._choice(int(choice.get("index") or 0)).part(choice)
        return choice if self._flags_only else out

    def message(self, choice: dict[str, Any], position: int) -> dict[str, Any]:
        """A whole choice."""
        out = self._choice(int(choice.get("index", position))).message(choice)
        return choice if self._flags_only else out

    def _choice(self, index: int) -> "_Choice":
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = _Choice(index, self._screens, self._verdicts, self._tool_calls)
        return known


class _Choice:
    """One choice under way."""

    def __init__(self, index: int, screens: Sequence[ActiveScreen], verdicts: Verdicts, tool_calls: bool) -> None:
        self._index = index
        self._screens = screens
        self._verdicts = verdicts
        self._looks_at_calls = tool_calls
        self._member = ""
        self._passing: ScreenedText | None = None
        self._arguments: dict[int, list[str]] = {}
        self._logprobs: deque[tuple[int, Any]] = deque()
        self._content = 0
        self._spells = True  # whether log-probabilities still belong to what goes out
        self.blocked = False

    # Streams ----------------------------------------------------------------------------------------------------------

    def part(self, choice: dict[str, Any]) -> dict[str, Any]:
        if self.blocked:
            return {"index": self._index, "delta": {}, "finish_reason": None}
        delta = choice.get("delta") or {}
        last = bool(choice.get("finish_reason"))
        out: dict[str, Any] = {"role": delta["role"]} if isinstance(delta.get("role"), str) else {}
        for member in _TEXTS:
            if isinstance(delta.get(member), str):
                self._take(out, member, delta[member])
        if delta.get("tool_calls"):
            self._finish_text(out)
            self._take_calls(out, delta["tool_calls"])
        if last:
            self._finish_text(out)
            self._finish_calls(out)
        finish = CONTENT_FILTER if self.blocked else choice.get("finish_reason")
        part = {"index": self._index, "delta": out, "finish_reason": finish}
        if logprobs := self._spelled(choice.get("logprobs"), delta.get("content")):
            part["logprobs"] = {"content": logprobs, "refusal": None}
        return part

    def _take(self, out: dict[str, Any], member: str, text: str) -> None:
        if member != self._member:
            self._finish_text(out)
            self._spells &= member != "content" or not self._content
            self._member, self._passing = member, ScreenedText(self._screens, self._noting(member))
        if self.blocked or self._passing is None:
            return
        self._say(out, member, self._passing.take(text), empty=text == "")
        self.blocked = self._passing.blocked

    def _finish_text(self, out: dict[str, Any]) -> None:
        if self._passing is not None and not self.blocked:
            self._say(out, self._member, self._passing.finish())
            self.blocked = self._passing.blocked
            self._member = ""

    @staticmethod
    def _say(out: dict[str, Any], member: str, text: str, *, empty: bool = False) -> None:
        if text or empty:
            out[member] = out.get(member, "") + text

    def _take_calls(self, out: dict[str, Any], calls: list[dict[str, Any]]) -> None:
        """The name of a function goes out at once, its arguments when the next call begins or the choice ends."""
        if self.blocked:
            return
        if not self._looks_at_calls:
            out["tool_calls"] = calls
            return
        for call in calls:
            number = int(call.get("index", 0))
            if number not in self._arguments:
                self._finish_calls(out)
                self._arguments[number] = []
            function = dict(call.get("function") or {})
            self._arguments[number].append(str(function.pop("arguments", None) or ""))
            if self.blocked:
                return
            if function or call.get("id"):
                head = {name: value for name, value in call.items() if name in ("index", "id", "type")}
                self._say_call(out, {**head, "function": {**function, "arguments": ""}})

    def _finish_calls(self, out: dict[str, Any]) -> None:
        for number, pieces in self._arguments.items():
            text = "".join(pieces)
            pieces.clear()
            if self.blocked or not text:
                continue
            after, self.blocked = self._screened_arguments(text, number)
            if not self.blocked:
                self._say_call(out, {"index": number, "function": {"arguments": after}})

    @staticmethod
    def _say_call(out: dict[str, Any], call: dict[str, Any]) -> None:
        out.setdefault("tool_calls", []).append(call)

    def _spelled(self, logprobs: Any, content: Any) -> list[Any]:
        """The log-probabilities of what has gone out by now."""
        given = logprobs.get("content") if isinstance(logprobs, dict) else None
        if isinstance(content, str):
            self._content += len(content)
            if given:
                self._logprobs.append((self._content, given))
        passing = self._passing
        if passing is None or passing.changed or self.blocked or not self._spells:
            self._spells &= passing is None or not (passing.changed or self.blocked)
            return []
        out: list[Any] = []
        while self._logprobs and self._logprobs[0][0] <= passing.passed:
            out += self._logprobs.popleft()[1]
        return out

    # Whole answers ----------------------------------------------------------------------------------------------------

    def message(self, choice: dict[str, Any]) -> dict[str, Any]:
        said = choice["message"]
        out: dict[str, Any] = {"role": said["role"]} if isinstance(said.get("role"), str) else {}
        out["content"] = None
        for member in _TEXTS:
            text = _text_of(said.get(member))
            if text is not None and not self.blocked:
                out[member], self.blocked = screened(text, self._screens, self._noting(member))
        calls = [self._whole_call(call, number) for number, call in enumerate(said.get("tool_calls") or ())]
        if kept := [call for call in calls if call is not None]:
            out["tool_calls"] = kept
        finish = CONTENT_FILTER if self.blocked else choice.get("finish_reason")
        whole = {"index": self._index, "message": out, "finish_reason": finish}
        if choice.get("logprobs") is not None and not self.blocked and out["content"] == said.get("content"):
            whole["logprobs"] = choice["logprobs"]
        return whole

    def _whole_call(self, call: dict[str, Any], number: int) -> dict[str, Any] | None:
        if self.blocked:
            return None
        function = call.get("function") or {}
        if not self._looks_at_calls or not isinstance(function.get("arguments"), str):
            return call
        after, self.blocked = self._screened_arguments(function["arguments"], number)
        return None if self.blocked else {**call, "function": {**function, "arguments": after}}

    def _screened_arguments(self, text: str, number: int) -> tuple[str, bool]:
        return screened_arguments(text, self._screens, self._noting(f"tool_calls.{number}.arguments"))

    def _noting(self, member: str) -> Note:
        return self._verdicts.noting("output", f"choices.{self._index}.{member}")


def _text_of(value: Any) -> str | None:
    """A member's text, its text parts joined; None where it has none."""
    if isinstance(value, list):
        return "\n".join(str(part.get("text", "")) for part in value if isinstance(part, dict) and "text" in part)
    return value if isinstance(value, str) else None
