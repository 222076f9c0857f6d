"""The list by meaning: the vectors of the asked stores that are nearest to the question's.

Up to `settings.SEARCH_EXACT_CHUNKS` chunks every vector is looked at: the answer is exact. Above, where the tenant has
a partition of its own, its index (IVFFlat, see `knowledge.partitions.indexes`) names the clusters to look at, nearest
first, and goes on for as long as a filter leaves rows to be wanted. Two things are judged by what is seen, not by
estimates:

- A filter that leaves few enough chunks is answered exactly: the files that match say how many chunks they have.
- Where nothing stands out (the best is hardly nearer than the last that was looked at), the question is off the tenant's
  topics, and its neighbours lie scattered over many clusters: it is asked once more, with `WIDE` effort.
"""

from collections.abc import Mapping
from uuid import UUID

import numpy as np
from django.conf import settings
from pgvector import HalfVector

from ..filters import Fragment
from .matching import CONDITION_BY_ROW
from .questions import DENSE, LEXICAL, Question

#: Chunks of a list that take part in the fusion.
CANDIDATES = 100
#: Of one chunk, at most so many vectors: the longest (4,096 tokens) in passages of 256, and one for the rest.
_ROWS_A_CHUNK = 17
_MOST_ROWS = 1000
#: Settings of the transaction, in the order in which they are tried: clusters of some 400 vectors to look at.
NEAR, WIDE = ({"ivfflat.probes": probes, "ivfflat.iterative_scan": "relaxed_order"} for probes in ("24", "100"))
#: How much nearer than the last the best must be to stand out, as a share of what parts it from identity.
_STANDS_OUT = 0.3

_ROWS = """
  SELECT chunk_id, -(embedding::halfvec({dimensions}) <#> {vector}) AS score FROM knowledge_embedding
   WHERE tenant_id = %s AND space_id = %s AND store_id = ANY (%s::uuid[])"""
#: Ordered by what no index offers, so every row is looked at.
_EXACT = f"""
nearest_{{number}} AS ({_ROWS} {{condition}} ORDER BY score DESC LIMIT {{rows}})"""
_INDEXED = f"""
vector_{{number}} AS MATERIALIZED (SELECT %s::halfvec({{dimensions}}) AS vector),
indexed_{{number}} AS MATERIALIZED ({_ROWS} {{by_row}}
   ORDER BY embedding::halfvec({{dimensions}}) <#> {{vector}} LIMIT {{rows}}),
nearest_{{number}} AS (TABLE indexed_{{number}}{{few}})"""
_FEW = f"""
  UNION ALL ({_ROWS} {{condition}} AND {{are_few}} ORDER BY score DESC LIMIT {{rows}})"""
_LIST = """
dense_{number} AS (
  SELECT chunk_id, score, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank FROM (
    SELECT chunk_id, max(score) AS score FROM nearest_{number}
     GROUP BY chunk_id ORDER BY 2 DESC, 1 LIMIT {chunks}) found)"""


def efforts(question: Question) -> list[Mapping[str, str]]:
    """Settings of the transactions in which the question is asked, one after another until nothing speaks for more."""
    return [NEAR, WIDE] if _is_large(question) else [{}]


def off_topic(question: Question) -> str:
    """SQL that says, over the tables of `dense_list`, whether for a wording nothing that the index found stands out."""
    if not _is_large(question):
        return "false"
    spread = f"(SELECT max(score) - min(score) < {_STANDS_OUT} * (1 - max(score)) FROM indexed_{{}})"
    wordings = " OR ".join(spread.format(number) for number in range(len(question.wordings)))
    return f"coalesce({wordings}, false)"


def dense_list(question: Question, number: int, vector: np.ndarray, *, tenant_id: UUID, condition: str) -> Fragment:
    """The table `dense_<number> (chunk_id, score, rank)` of the wording of that number, whose vector is given.

    `score` is the cosine similarity of the chunk's best vector.
    """
    literal = vector_literal(vector)
    rows = [tenant_id, question.space_id, question.store_ids]
    # Nothing is fused where this is the only list: then its first ones are enough, twice for those that overlap.
    few_do = question.ranker == DENSE and len(question.wordings) == 1
    names = {
        "number": number, "dimensions": question.embedder.dimensions, "condition": condition, "chunks": CANDIDATES,
        "rows": min(_MOST_ROWS, (2 * question.limit if few_do else CANDIDATES) * _ROWS_A_CHUNK),
    }  # fmt: skip
    if not _is_large(question):
        sql = (_EXACT + "," + _LIST).format(**names, vector=f"%s::halfvec({question.embedder.dimensions})")
        return sql, [literal, *rows]
    names["vector"] = f"(SELECT vector FROM vector_{number})"
    few = by_row = ""
    if condition:
        are_few = f"(SELECT sum(chunk_count) FROM matching) <= {settings.SEARCH_EXACT_CHUNKS}"
        few = _FEW.format(**names, are_few=are_few)
        by_row = f"{CONDITION_BY_ROW} AND NOT coalesce({are_few}, true)"
    sql = (_INDEXED + "," + _LIST).format(**names, few=few, by_row=by_row)
    return sql, [literal, *rows, *(rows if few else [])]


def _is_large(question: Question) -> bool:
    return question.ranker != LEXICAL and question.chunks > settings.SEARCH_EXACT_CHUNKS


def vector_literal(vector: np.ndarray) -> str:
    """A query vector, of length 1, as pgvector reads it."""
    return HalfVector(vector / max(float(np.linalg.norm(vector)), 1e-12)).to_text()
