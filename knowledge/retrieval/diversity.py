"""Which of the ranked chunks are answered: no page in several overlapping windows, and, if asked for, less of a kind.

Chunks overlap, by half in the default chunking. A chunk a third of which, or more, is in better ones of the same file is
left out. Its rest is found in the chunk beyond. The same file in several stores counts once.

Maximal marginal relevance (Carbonell and Goldstein 1998), with `mmr_lambda` below 1: the next chunk is the one of the
highest λ · relevance − (1 − λ) · similarity to the most alike of those chosen, both from 0 to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

_COVERED = 1 / 3


@dataclass(frozen=True)
class Candidate:
    """A ranked chunk and its place in its document."""

    id: UUID
    file_id: UUID
    start: int
    end: int
    score: float


def without_overlap(ranked: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, best first, without those that better ones cover by a third."""
    kept: list[Candidate] = []
    of_file: dict[UUID, list[Candidate]] = {}
    for candidate in ranked:
        beside = of_file.setdefault(candidate.file_id, [])
        if _covered(candidate, beside) < _COVERED * max(1, candidate.end - candidate.start):
            kept.append(candidate)
            beside.append(candidate)
    return kept


def _covered(candidate: Candidate, others: Sequence[Candidate]) -> int:
    """Characters of `candidate` that others hold; where those overlap each other, counted twice."""
    return sum(max(0, min(candidate.end, other.end) - max(candidate.start, other.start)) for other in others)


def diverse(
    ranked: Sequence[Candidate], vectors: Mapping[UUID, np.ndarray], *, mmr_lambda: float, limit: int
) -> list[Candidate]:
    """At most `limit` candidates by maximal marginal relevance. `vectors` have length 1; who has none is like nobody."""
    if not ranked:
        return []
    best = max(candidate.score for candidate in ranked) or 1.0
    relevance = np.array([candidate.score / best for candidate in ranked])
    blank = np.zeros_like(next(iter(vectors.values()))) if vectors else np.zeros(1)
    rows = np.array([vectors.get(candidate.id, blank) for candidate in ranked])
    alike = np.zeros(len(ranked))
    chosen: list[int] = []
    while len(chosen) < min(limit, len(ranked)):
        worth = mmr_lambda * relevance - (1 - mmr_lambda) * alike
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
        alike = np.maximum(alike, rows @ rows[chosen[-1]])
    return [ranked[index] for index in chosen]
