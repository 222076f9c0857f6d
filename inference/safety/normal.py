"""A text as words are looked for in it: case, width, invisible characters and runs of blanks make no difference.

Compatibility decomposition of case-folded characters (Unicode NFKD), without characters that show nothing, every run of
white space one blank. Terms and texts are brought into this form by the same code, so an accent written as one character
or as two is the same, and `café` is not `cafe`.
"""

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache

#: What is not plain: a run outside ASCII, or white space that is not a single blank.
_SPECIAL = re.compile(r"[^\x00-\x7f]+|[\t\n\r\f\v\x1c-\x1f]\s*| \s+", re.ASCII)
_BLANKS = re.compile(r"\s")
#: They show nothing: joiners, direction marks, soft hyphens, variation selectors, tags.
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Cc"})
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@lru_cache(maxsize=65_536)
def _folded(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in _INVISIBLE_CATEGORIES or _SELECTORS.match(character):
        return ""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())


class Normal:
    """A text in that form, and where each of its characters stands in the text as it was written.

    `text` is the form; `span` gives back places in the raw text. Time and memory are proportional to the text.
    """

    def __init__(self, raw: str) -> None:
        self._raw_length = len(raw)
        self._parts: list[str] = []
        self._length = 0
        #: Where a stretch begins in the form and in the raw text; within one, both go on by the same steps.
        self._starts: list[int] = [0]
        self._raws: list[int] = [0]
        end = 0
        for match in _SPECIAL.finditer(raw):
            self._plain(raw[end : match.start()].lower(), end)
            self._special(match[0], match.start())
            end = match.end()
        self._plain(raw[end:].lower(), end)
        self.text = "".join(self._parts)
        del self._parts

    def _plain(self, text: str, raw: int) -> None:
        if text.startswith(" ") and self._parts and self._parts[-1].endswith(" "):
            text, raw = text[1:], raw + 1
        if text:
            self._stretch(raw)
            self._parts.append(text)
            self._length += len(text)

    def _stretch(self, raw: int) -> None:
        self._starts.append(self._length)
        self._raws.append(raw)

    def _special(self, run: str, raw: int) -> None:
        folded = run.casefold()
        if len(folded) == len(run) and not _needs_care(folded):
            self._plain(folded, raw)
            return
        for offset, character in enumerate(run):
            new = _folded(character)
            if new == " " and self._parts and self._parts[-1].endswith(" "):
                continue
            for letter in new:
                self._stretch(raw + offset)
                self._parts.append(letter)
                self._length += 1

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` (not empty) stands in the raw text."""
        return self._raw(start), self._raw(end - 1) + 1

    def _raw(self, index: int) -> int:
        stretch = bisect_right(self._starts, index) - 1
        return min(self._raws[stretch] + index - self._starts[stretch], self._raw_length - 1)


@lru_cache(maxsize=8)
def normal_of(text: str) -> Normal:
    """The form of `text`; the last few are kept, for several screens look at one text."""
    return Normal(text)


def _needs_care(run: str) -> bool:
    return not (run.isprintable() and unicodedata.is_normalized("NFKD", run)) or bool(
        _BLANKS.search(run) or _SELECTORS.search(run)
    )


def normal_term(term: str) -> str:
    """A term in the form, without blanks at its ends."""
    return Normal(term).text.strip()
