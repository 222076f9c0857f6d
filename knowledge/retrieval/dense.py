"""The list by meaning: an exact scan of the asked stores' vectors."""

from uuid import UUID

import numpy as np
from pgvector import HalfVector

from ..filters import Fragment
from .questions import Question

#: Chunks of a list that take part in the fusion.
CANDIDATES = 100
_NEAREST_ROWS = 1000  # vectors looked at for them: a long chunk has many
_DENSE = """
dense_{number} AS (
  SELECT chunk_id, score, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank FROM (
    SELECT chunk_id, max(score) AS score FROM (
      SELECT chunk_id, -(embedding::halfvec({dimensions}) <#> %s::halfvec({dimensions})) AS score FROM knowledge_embedding
       WHERE tenant_id = %s AND space_id = %s AND store_id = ANY (%s::uuid[]) {condition}
       ORDER BY embedding::halfvec({dimensions}) <#> %s::halfvec({dimensions}) LIMIT {rows}) nearest
     GROUP BY chunk_id ORDER BY 2 DESC, 1 LIMIT {candidates}) found)"""


def dense_list(question: Question, number: int, vector: np.ndarray, *, tenant_id: UUID, condition: str) -> Fragment:
    """The table `dense_<number> (chunk_id, score, rank)` of the wording of that number, whose vector is given.

    `score` is the cosine similarity of the chunk's best vector.
    """
    sql = _DENSE.format(
        number=number,
        dimensions=question.embedder.dimensions,
        condition=condition,
        rows=_NEAREST_ROWS,
        candidates=CANDIDATES,
    )
    literal = vector_literal(vector)
    return sql, [literal, tenant_id, question.space_id, question.store_ids, literal]


def vector_literal(vector: np.ndarray) -> str:
    """A query vector, of length 1, as pgvector reads it."""
    return HalfVector(vector / max(float(np.linalg.norm(vector)), 1e-12)).to_text()
