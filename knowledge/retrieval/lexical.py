"""The list by words: BM25 as an inner product of sparse vectors (see `sql/terms.sql`)."""

from uuid import UUID

from ..filters import Fragment
from ..languages import likely_among
from .questions import Question

#: Chunks of a list that take part in the fusion.
CANDIDATES = 100
_LEXICAL = """
words_{number} AS MATERIALIZED (SELECT lexical_query(%s, %s::uuid[], %s, %s, %s) AS weights),
lexical_{number} AS (
  SELECT chunk_id, score / max(score) OVER () AS score, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank FROM (
    SELECT chunk_id, -(weights <#> (SELECT weights FROM words_{number})) AS score FROM knowledge_chunkterms
     WHERE tenant_id = %s AND store_id = ANY (%s::uuid[]) {condition}
     ORDER BY weights <#> (SELECT weights FROM words_{number}), chunk_id LIMIT {candidates}) found
   WHERE score > 0)"""


def lexical_list(question: Question, number: int, *, tenant_id: UUID, condition: str) -> Fragment:
    """The table `lexical_<number> (chunk_id, score, rank)` of the wording of that number.

    `score` is the BM25 score as a share of the best chunk's. Chunks that hold none of its terms are not in it.
    """
    sql = _LEXICAL.format(number=number, condition=condition, candidates=CANDIDATES)
    stores, wording = question.store_ids, question.wordings[number]
    likely = likely_among(wording, question.languages)
    return sql, [tenant_id, stores, wording, list(likely), list(likely.values()), tenant_id, stores]
