"""Phrases kept in a file of their own: what begins them, and how they may go on."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import regex

from .anchored import Pattern

WINDOW = 240
_LETTER = regex.compile(r"\w")


def phrases(file: str, *, category: str, weak: str = "", whole_words: bool) -> Iterator[Pattern]:
    """The phrases of a file beside this one, as patterns.

    Args:
        weak: the category of those that the file calls weak.
        whole_words: a phrase that begins with a letter does not begin within a word.
    """
    data = tomllib.loads(Path(__file__).with_name(file).read_text())
    words = {name: _joined(text) for name, text in data["words"].items()}
    for phrase in data["phrase"]:
        begins = phrase["begins"]
        goes_on = _joined(phrase.get("goes_on", ""))
        for name, text in words.items():
            goes_on = goes_on.replace(f"{{{name}}}", text)
        # The longest first: the others may be its beginning.
        first = "|".join(map(regex.escape, sorted(begins, key=len, reverse=True)))
        yield Pattern(
            weak if phrase.get("weak") else category,
            begins,
            regex.compile(f"(?:{first}){goes_on}"),
            WINDOW,
            before=_LETTER if whole_words and begins[0][0].isalpha() else None,
        )


def _joined(text: str) -> str:
    return text.replace("\n", "")
