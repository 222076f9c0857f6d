"""One ranking of several lists, by reciprocal ranks (Cormack, Clarke and Büttcher 2009, k = 60).

Scores are between 0 and 1. Fused: the sum of 1 / (60 + rank) over the lists, as a share of what a passage first in all
of them gets; so it says how well a passage did among the others, not how relevant it is. Of one kind of list only: the
passage's best score in it.
"""

from collections.abc import Sequence

RRF_K = 60
_FUSED = """
fused AS (SELECT chunk_id, sum(1.0 / ({k} + rank)) * ({k} + 1) / {lists} AS score FROM ({union}) listed GROUP BY chunk_id)"""
_SINGLE = "\nfused AS (SELECT chunk_id, max(score) AS score FROM ({union}) listed GROUP BY chunk_id)"


def fused(lists: Sequence[str], *, by_rank: bool) -> str:
    """The table `fused (chunk_id, score)` of the tables `lists`, each (chunk_id, score, rank)."""
    union = " UNION ALL ".join(f"TABLE {name}" for name in lists)
    return (_FUSED if by_rank else _SINGLE).format(k=RRF_K, lists=len(lists), union=union)
