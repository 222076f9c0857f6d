"""A text on its way through the screens of one stage: whole, or as it grows.

What a screen has not made up its mind about is held back; the rest goes on at once. However a text is cut, the same
comes out. Where a find is blocked the text ends before it, and nothing of it, nor what follows, comes out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .screens.base import Find, Screen

Action = Literal["block", "mask", "flag"]
BLOCK: Action = "block"
MASK: Action = "mask"
#: What went out already and still says what follows: a word that names a number, a letter before a word.
_CONTEXT = 192
#: A stream is looked at when so many characters have come together, some eight tokens: each look costs time. Where much
#: is held back anyway, when a part of that has.
_STEP, _SHARE = 32, 4


@dataclass(frozen=True)
class ActiveScreen:
    """A screen and what a policy does about its finds."""

    name: str
    action: Action
    screen: Screen


@dataclass(frozen=True)
class Hit:
    """What a screen found: `start` and `end` are places in the whole text as it was written; `text` is the find itself."""

    screen: str
    action: Action
    category: str
    start: int
    end: int
    text: str


Note = Callable[[Hit], None]


def placeholder(category: str) -> str:
    """What stands in the place of a masked find."""
    return f"<{category}>"


class ScreenedText:
    """One text under some screens.

    Args:
        note: told of each find once, in the text's order.
    """

    def __init__(self, screens: Sequence[ActiveScreen], note: Note) -> None:
        self._screens = screens
        self._note = note
        self._context = self._held = ""
        self._unseen = 0
        self.passed = 0  #: characters of the raw text that were let go or replaced
        self.changed = False
        self.blocked = False

    def take(self, text: str) -> str:
        """What of the text so far can go on."""
        if self.blocked or not text:
            return ""
        self._held += text
        self._unseen += len(text)
        if self._unseen < max(_STEP, len(self._held) // _SHARE):
            return ""
        return self._drain(last=False)

    def finish(self, text: str = "") -> str:
        """The rest, after a last piece."""
        self._held += text
        return "" if self.blocked else self._drain(last=True)

    def _drain(self, *, last: bool) -> str:
        self._unseen = 0
        if not self._held:
            return ""
        seen, edge = self._context + self._held, len(self._context)
        upto = len(seen) if last else max(edge, min(active.screen.settled(seen) for active in self._screens))
        if upto == edge:
            return ""
        found = self._found(seen, edge)
        for find, _ in reversed(found):
            if find.end > upto:
                upto = min(upto, max(find.start, edge))
        out = self._replaced(seen, edge, upto, found)
        self.passed += upto - edge
        self._context, self._held = seen[max(0, upto - _CONTEXT) : upto], seen[upto:]
        return out

    def _found(self, seen: str, edge: int) -> list[tuple[Find, ActiveScreen]]:
        """What is new, by where it ends: what lies before `edge` was seen when it went out."""
        found = [(find, active) for active in self._screens for find in active.screen.finds(seen) if find.end > edge]
        return sorted(found, key=lambda pair: (pair[0].end, pair[0].start))

    def _replaced(self, seen: str, edge: int, upto: int, found: list[tuple[Find, ActiveScreen]]) -> str:
        base = self.passed - edge
        settled = sorted(((f, a) for f, a in found if f.end <= upto), key=lambda pair: (pair[0].start, -pair[0].end))
        stop = min((max(find.start, edge) for find, active in settled if active.action == BLOCK), default=None)
        parts, at = [], edge
        for find, active in settled:
            if stop is not None and find.start > stop:
                break
            self._note(Hit(active.name, active.action, find.category, base + find.start, base + find.end,
                           seen[find.start : find.end]))  # fmt: skip
            if active.action != MASK or find.end <= at or (stop is not None and find.end > stop):
                continue
            if (start := max(find.start, edge)) >= at:
                parts += [seen[at:start], placeholder(find.category)]
            at, self.changed = find.end, True
        if stop is not None:
            self.blocked = self.changed = True
            return "".join([*parts, seen[at : max(at, stop)]])
        return "".join([*parts, seen[at:upto]])


def screened(text: str, screens: Sequence[ActiveScreen], note: Note) -> tuple[str, bool]:
    """The whole of a text as it may go on, and whether it was cut off by a block."""
    passing = ScreenedText(screens, note)
    return passing.finish(text), passing.blocked
