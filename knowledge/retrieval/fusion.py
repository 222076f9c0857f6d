"""One ranking of several lists, by reciprocal ranks (Cormack, Clarke and Büttcher 2009) with weights.

k = 10, where the paper has 60. nDCG@10 of k = 10 / 30 / 60, both lists alike: Python's documentation, each entry looked
for by its first sentence, 0.826 / 0.824 / 0.822; CISI, where a question has dozens of answers, 0.443 / 0.440 / 0.441. A
list that is much better than the other keeps its first places: manual pages in six languages 0.769 / 0.751 / 0.749.

Scores are between 0 and 1. Fused: the sum of weight / (k + rank) over the lists, as a share of what a passage first in
all of them gets; so it says how well a passage did among the others, not how relevant it is. Of one kind of list only:
the passage's best score in it, which is the cosine similarity of meaning (`dense`), or the BM25 score as a share of the
best passage's (`lexical`).

Both lists weigh the same where the embedding model knows the query's language. `all-MiniLM-L6-v2` was trained on
English: on manual pages in French, Russian, Spanish and Japanese its list alone reaches 0.28 to 0.70 nDCG@10 where the
words reach 0.60 to 0.86, so there it weighs a fifth: fused 0.58 to 0.86, with equal weights 0.50 to 0.78.
"""

from collections.abc import Mapping

from ..languages import likely_among
from ..ports import DEFAULT_MODEL
from .questions import Question

RRF_K = 10
UNKNOWN_LANGUAGE_WEIGHT = 0.2
#: Embedding models that know one language only, and which.
_TRAINED_ON = {DEFAULT_MODEL: "english"}
_FUSED = """
fused AS (SELECT chunk_id, sum(weight / ({k} + rank)) * ({k} + 1) / {total} AS score FROM ({union}) listed GROUP BY chunk_id)"""
_LISTED = "SELECT *, {weight:.6f} AS weight FROM {name}"
_SINGLE = "\nfused AS (SELECT chunk_id, max(score) AS score FROM ({union}) listed GROUP BY chunk_id)"


def fused(lists: Mapping[str, float], *, by_rank: bool) -> str:
    """The table `fused (chunk_id, score)` of the tables (chunk_id, score, rank) that `lists` gives weights."""
    union = " UNION ALL ".join(_LISTED.format(name=name, weight=weight) for name, weight in lists.items())
    return (_FUSED if by_rank else _SINGLE).format(k=RRF_K, total=f"{sum(lists.values()):.6f}", union=union)


def dense_weight(question: Question, number: int) -> float:
    """What the list by meaning of the wording of that number weighs beside the list by words, which weighs 1."""
    trained = _TRAINED_ON.get(question.embedder.model)
    if trained is None or not question.languages:
        return 1.0
    known = likely_among(question.wordings[number], question.languages).get(trained, 0.0)
    return UNKNOWN_LANGUAGE_WEIGHT + (1 - UNKNOWN_LANGUAGE_WEIGHT) * known
