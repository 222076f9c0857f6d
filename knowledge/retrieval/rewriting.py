"""Queries in a model's words: what people ask, made into what documents say, before it is searched.

What a model writes is a query and nothing else: one short line. Whatever else comes of it, an answer, a refusal,
several lines, nothing in time, the wording is searched as it was asked. A rewrite that fails fails no search.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..attributes import storable
from ..ports import Written

if TYPE_CHECKING:
    from .questions import Question

MAX_CHARACTERS = 512


def rewritten(question: "Question", written: Sequence[Written]) -> "Question":
    """`question` with those wordings that the model, which wrote `written` in their order, has made anew."""
    pairs = zip(question.wordings, written, strict=True)
    return question.reworded([_query(found.text) or wording for wording, found in pairs])


def _query(text: str | None) -> str | None:
    """The query in a model's output; None where it is none."""
    line = (text or "").strip()
    usable = len(line.splitlines()) == 1 and len(line) <= MAX_CHARACTERS and storable(line)
    return line if usable else None
