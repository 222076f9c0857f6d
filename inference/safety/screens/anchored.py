"""Patterns that begin with something rare: all beginnings are looked for at once, and a pattern is tried only there.

The beginnings (anchors) are found by Aho-Corasick in one pass; a pattern looks at a bounded stretch from its anchor and
repeats nothing within a repetition. So the time is proportional to the text, whatever the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ahocorasick
import regex

from ..normal import normal_of
from .base import OBSCURED, Find, Hold


def always(_: str) -> bool:
    """The form says enough."""
    return True


@dataclass(frozen=True)
class Pattern:
    """What follows one of the anchors.

    Args:
        category: what a find is called.
        anchors: literal beginnings; where a text is read in its normal form, lower-case.
        pattern: matched from the anchor's first character; the find is its group `value`, if it has one.
        window: the longest stretch, in characters, that it looks at from there.
        valid: whether what was matched is one, by its checksum or the like.
        before: characters that must not stand before the anchor, as a class; empty: any may.
        growing: its longest form alone, where a text that grows could match a shorter one on the way.
    """

    category: str
    anchors: Sequence[str]
    pattern: "regex.Pattern[str]"
    window: int
    valid: Callable[[str], bool] = always
    before: "regex.Pattern[str] | None" = None
    growing: "regex.Pattern[str] | None" = None


class AnchoredScreen:
    """Finds what its patterns say.

    Args:
        normal: look at the text in its normal form, where case, width and what is invisible make no difference.
    """

    def __init__(self, patterns: Sequence[Pattern], *, normal: bool) -> None:
        self._normal = normal
        self._patterns: dict[str, list[Pattern]] = {}
        for pattern in patterns:
            for anchor in pattern.anchors:
                self._patterns.setdefault(anchor, []).append(pattern)
        self._automaton: Any = ahocorasick.Automaton()
        for anchor in self._patterns:
            self._automaton.add_word(anchor, anchor)
        self._automaton.make_automaton()
        self._longest_anchor = max(map(len, self._patterns))
        self.window = max(pattern.window for pattern in patterns) + self._longest_anchor + (OBSCURED if normal else 0)

    def finds(self, text: str) -> Sequence[Find]:
        """Every match in `text`."""
        if not text:
            return ()
        form = normal_of(text) if self._normal else None
        seen = text if form is None else form.text
        found = []
        done: dict[int, int] = {}
        for start, pattern in self._places(seen):
            if start < done.get(id(pattern), 0):
                continue
            match = pattern.pattern.match(seen, start, min(len(seen), start + pattern.window))
            part = "value" if "value" in pattern.pattern.groupindex else 0
            if match is None or not pattern.valid(match[part]):
                continue
            done[id(pattern)] = match.end()
            first, end = match.span(part) if form is None else form.span(*match.span(part))
            found.append(Find(first, end, pattern.category))
        return list(dict.fromkeys(found))  # two patterns may find one thing

    def _places(self, seen: str) -> Any:
        for last, anchor in self._automaton.iter(seen):
            start = last - len(anchor) + 1
            for pattern in self._patterns[anchor]:
                if pattern.before is None or start == 0 or not pattern.before.match(seen[start - 1]):
                    yield start, pattern

    def settled(self, text: str) -> int:
        """All but an end with which an anchor begins, or a pattern that more text may complete or lengthen."""
        held = Hold(text, self.window)
        form = normal_of(text) if self._normal and text else None
        seen = text if form is None else form.text
        if not seen:
            return 0

        def raw(place: int) -> int:
            return place if form is None else form.span(place, place + 1)[0]

        for start, pattern in self._places(seen):
            if start + pattern.window < len(seen):
                continue
            match = (pattern.growing or pattern.pattern).match(seen, start, partial=True)
            if match is not None and (match.partial or match.end() == len(seen)):
                held.hold(raw(start))
        for start in range(max(0, len(seen) - self._longest_anchor), len(seen)):
            if self._automaton.match(seen[start:]):
                held.hold(raw(start))
                break
        # What is invisible, an accent or a blank at the end may change what stands there.
        if not text[-1].isascii() or text[-1].isspace():
            held.hold(len(text) - 1)
        return held.start
