"""What a screen is: it finds things in a text, and knows how much of a growing text it has made up its mind about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Find:
    """`text[start:end]` is of this category."""

    start: int
    end: int
    category: str


class Screen(Protocol):
    """Looks for one sort of thing. Its time is proportional to the text, whatever the text."""

    #: The longest thing that it must see whole, in characters: what it holds back of a stream at most.
    window: int

    def finds(self, text: str) -> Sequence[Find]:
        """What stands in `text`, in no order; finds may overlap."""

    def settled(self, text: str) -> int:
        """Up to where `text` may go on: no find can begin before this place by what is written after its end."""


#: Room for what a term or a phrase may hold beside itself in a raw text: runs of blanks, characters that show nothing.
OBSCURED = 2_000


class Hold:
    """A growing text's end is undecided from `start`; the earliest of several counts, within a window."""

    def __init__(self, text: str, window: int) -> None:
        self.least = max(0, len(text) - window)
        self.start = len(text)

    def hold(self, start: int) -> None:
        """The text from `start` may become a find."""
        self.start = min(self.start, max(start, self.least))
