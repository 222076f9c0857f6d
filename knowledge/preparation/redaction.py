"""A text with its personal data replaced by placeholders, and where its pages are in what remains.

The text is read in slices that overlap, so that a find is whole in one of them; the memory and the time of each is
bounded, and the whole must be done within `SECONDS`. Where it is not, the document fails: what was not looked through
does not enter the store.
"""

import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from ..parsing.documents import INVALID_FILE, PageSpan, ParsedDocument, UnreadableFile
from .recognisers import Find, finds_in
from .settings import Redaction

#: For a whole document; ordinary text of the largest size takes a tenth.
SECONDS = 300.0
SLICE, OVERLAP = 16_384, 512
#: Characters that show nothing, or show as a digit, space or hyphen: what is written with them is found as well.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_PLAIN = str.maketrans(
    {
        **dict.fromkeys(
            "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
        **{chr(start + digit): str(digit) for start in (0x660, 0x6F0, 0x966, 0xFF10) for digit in range(10)},
        "\uff20": "@",
        "\uff0e": ".",
        "\uff0b": "+",
    }
)


@dataclass(frozen=True)
class Redacted:
    """A text with its finds replaced; `finds` are places in the text before."""

    text: str
    finds: Sequence[Find]

    def place(self) -> Callable[[int], int]:
        """Where an offset of the text before is in the text now; one within a value is at its placeholder's start."""
        starts = [find.start for find in self.finds]
        shifts = list(accumulate((len(placeholder(find)) - (find.end - find.start) for find in self.finds), initial=0))

        def moved(offset: int) -> int:
            before = bisect_right(starts, offset)
            if before and offset < self.finds[before - 1].end:
                return self.finds[before - 1].start + shifts[before - 1]
            return offset + shifts[before]

        return moved


def placeholder(find: Find) -> str:
    """What stands in the place of a value."""
    return f"<{find.entity}>"


def redacted_document(document: ParsedDocument, redaction: Redaction) -> ParsedDocument:
    """The document without personal data in text, title and warnings; pages are where their text is now.

    Raises:
        UnreadableFile: the time was not enough.
    """
    done = redact(document.text, redaction)
    moved = done.place()
    pages = tuple(PageSpan(page.number, moved(page.start), moved(page.end)) for page in document.pages)
    title = None if document.title is None else redact(document.title, redaction).text
    warnings = tuple(redact(warning, redaction).text for warning in document.warnings)
    return replace(document, text=done.text, pages=pages, title=title, warnings=warnings)


def redact(text: str, redaction: Redaction) -> Redacted:
    """`text` with every find replaced.

    Raises:
        UnreadableFile: the time was not enough.
    """
    finds = finds_of(text, redaction)
    parts, end = [], 0
    for find in finds:
        parts += [text[end : find.start], placeholder(find)]
        end = find.end
    return Redacted("".join([*parts, text[end:]]), finds)


def finds_of(text: str, redaction: Redaction) -> list[Find]:
    """Every find of `text`, in order, without overlaps.

    Raises:
        UnreadableFile: the time was not enough.
    """
    return _merged(list(_finds(text, redaction)))


def _finds(text: str, redaction: Redaction) -> Iterator[Find]:
    deadline = time.monotonic() + SECONDS
    for start in range(0, max(len(text), 1), SLICE - OVERLAP):
        if time.monotonic() > deadline:
            raise UnreadableFile(INVALID_FILE, "The text could not be searched for personal data in time.")
        last = start + SLICE >= len(text)
        # A find belongs to the slice in which it begins far from the borders: whole, with what stands beside it.
        begins, ends = OVERLAP // 2 if start else 0, SLICE if last else SLICE - OVERLAP // 2
        for find in _finds_in_slice(text[start : start + SLICE], redaction):
            if begins <= find.start < ends:
                yield Find(start + find.start, start + find.end, find.entity)
        if last:
            return


def _finds_in_slice(text: str, redaction: Redaction) -> list[Find]:
    plain = text.translate(_PLAIN)
    if not _INVISIBLE.search(plain):
        return finds_in(plain, redaction.entities, redaction.phone_regions)
    kept = [index for index, character in enumerate(plain) if not _INVISIBLE.match(character)]
    shown = "".join(plain[index] for index in kept)
    return [
        Find(kept[find.start], kept[find.end - 1] + 1, find.entity)
        for find in finds_in(shown, redaction.entities, redaction.phone_regions)
    ]


def _merged(finds: list[Find]) -> list[Find]:
    """In order, without overlaps: what overlaps is one find, of the longer one's kind."""
    merged: list[Find] = []
    longest = 0
    # Of kinds that are as long, the one that has a checksum.
    for find in sorted(finds, key=lambda find: (find.start, -find.end, find.entity == "PHONE_NUMBER", find.entity)):
        size = find.end - find.start
        if not merged or find.start >= merged[-1].end:
            merged.append(find)
            longest = size
            continue
        last = merged[-1]
        entity = find.entity if size > longest else last.entity
        longest = max(longest, size)
        merged[-1] = Find(last.start, max(last.end, find.end), entity)
    return merged
