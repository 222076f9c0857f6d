"""How good a ranking is, given which documents are relevant."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

Judged = Mapping[str, int]


def ndcg(run: Sequence[str], judged: Judged, k: int = 10) -> float:
    """nDCG@k with the relevance as gain (Järvelin and Kekäläinen 2002)."""
    best = sum(value / math.log2(rank + 2) for rank, value in enumerate(sorted(judged.values(), reverse=True)[:k]))
    gain = sum(judged.get(document, 0) / math.log2(rank + 2) for rank, document in enumerate(run[:k]))
    return gain / best if best else 0.0


def recall(run: Sequence[str], judged: Judged, k: int = 10) -> float:
    """The share of the relevant documents that is among the first k."""
    relevant = {document for document, value in judged.items() if value > 0}
    return len(relevant.intersection(run[:k])) / len(relevant) if relevant else 0.0


def mean(
    measure: Callable[[Sequence[str], Judged], float], runs: Mapping[str, Sequence[str]], relevant: Mapping[str, Judged]
) -> float:
    """The mean of `measure` over the judged queries; a query without a run counts 0."""
    return statistics.mean(measure(runs.get(query, ()), judged) for query, judged in relevant.items())
