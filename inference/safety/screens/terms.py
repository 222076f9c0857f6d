"""Lists of words and phrases, thousands of them at once (Aho-Corasick): deny lists, and the words of profanity.

A term is found where it stands as a word, in the form of `normal`: `Straße` finds `STRASSE`, `bad phrase` finds it over a
line's end. In scripts that write without blanks it is found within words too. What is spelled otherwise (`b4d`, letters
with blanks between them, another inflection) is another word, and is not found.
"""

import re
from collections.abc import Iterable, Sequence

import ahocorasick

from ..normal import normal_of, normal_term
from .base import OBSCURED, Find, Hold

LONGEST_TERM = 200
MOST_TERMS = 10_000
#: So many terms may end alike, one within the other ("x", "a x", "b a x" …): each costs time wherever the longest stands.
MOST_NESTED = 8
#: Thai, Lao, Burmese, Hangul, Khmer, kana, Han: no blanks between words, or endings written on to them.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class TermScreen:
    """Finds the terms of a list.

    Args:
        terms: as their author wrote them; at most `LONGEST_TERM` characters each.
        category: what a find is called.
    """

    def __init__(self, terms: Iterable[str], category: str) -> None:
        self._category = category
        self._automaton = ahocorasick.Automaton()
        self._longest = 0
        for term in filter(None, map(normal_term, terms)):
            self._automaton.add_word(term, len(term))
            self._longest = max(self._longest, len(term))
        self.window = self._longest + OBSCURED if self._longest else 0
        if self._longest:
            self._automaton.make_automaton()

    def finds(self, text: str) -> Sequence[Find]:
        """The terms that stand in `text` as words."""
        if not self._longest or not text:
            return ()
        normal = normal_of(text)
        found = []
        for last, length in self._automaton.iter(normal.text):
            start, end = last - length + 1, last + 1
            if _is_word(normal.text, start, end):
                found.append(Find(*normal.span(start, end), self._category))
        return found

    def settled(self, text: str) -> int:
        """All but an end that a term begins with: its last word, mostly."""
        held = Hold(text, self.window)
        if not self._longest or not text:
            return held.start
        normal = normal_of(text)
        for start in range(max(0, len(normal.text) - self._longest), len(normal.text)):
            if not _within_word(normal.text, start) and self._automaton.match(normal.text[start:]):
                held.hold(normal.span(start, start + 1)[0])
                break
        # What comes next may be an accent of the last letter, or go on with a word that is a term as it stands.
        held.hold(max(_last_word(text), len(text) - self._longest - 1))
        return held.start


def _last_word(text: str) -> int:
    place = len(text)
    while place and (text[place - 1].isalnum() or not text[place - 1].isascii()):
        place -= 1
    return place


def _is_word(text: str, start: int, end: int) -> bool:
    return not _within_word(text, start) and (
        end == len(text) or not _joins(text[end]) or not _joins(text[end - 1]) or bool(_UNSPACED.match(text[end - 1]))
    )


def _within_word(text: str, start: int) -> bool:
    """Whether a letter before `start` goes on there."""
    return start > 0 and _joins(text[start - 1]) and _joins(text[start]) and not _UNSPACED.match(text[start])


def _joins(character: str) -> bool:
    """Letters, digits, and the accents that decomposition sets behind them."""
    return character.isalnum() or "\u0300" <= character <= "\u036f"


def nested_too_deep(terms: Iterable[str]) -> str | None:
    """A term that more than `MOST_NESTED` others of the list end like; None where there is none."""
    known = {normal for term in terms if (normal := normal_term(term))}
    for term in known:
        if sum(term[start:] in known for start in range(1, len(term))) > MOST_NESTED:
            return term
    return None
