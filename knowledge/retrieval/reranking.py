"""A second look at what the fusion ranked first, by a model that reads query and passage together.

Scores are the model's, from 0 to 1. A model that is away fails the search, 503: whoever named it, and set a threshold
for its scores, is not served by an order and scores of another kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ports import Reranker

if TYPE_CHECKING:
    from .passages import Passage, SearchResult

#: Passages that the model reads.
READ = 40


@dataclass(frozen=True)
class Reranking:
    """Who ranks again, and what of it is answered: at most `limit` passages that score at least `score_threshold`."""

    reranker: Reranker
    limit: int
    score_threshold: float

    def tokens(self, query: str, passages: "Sequence[Passage]") -> int:
        """What the model will read."""
        return self.reranker.count_tokens(query, [passage.text for passage in passages])

    def apply(self, query: str, found: "SearchResult") -> "SearchResult":
        """`found` in the model's order.

        Raises:
            RerankerUnavailable: try again.
        """
        scores = self.reranker.rerank(query, [passage.text for passage in found.passages])
        ranked = sorted(zip(scores, found.passages, strict=True), key=lambda pair: -pair[0])
        kept = [replace(passage, score=score) for score, passage in ranked if score >= self.score_threshold]
        return replace(found, passages=kept[: self.limit])
