"""A search from query to passages: one statement makes the lists, fuses them and reads the passages."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection

from tenants.scope import tenant_scope

from ..access import ALLOWED
from ..filters import Fragment
from .dense import dense_list
from .fusion import fused
from .lexical import lexical_list
from .matching import CONDITION, matching
from .passages import Passage, SearchResult
from .questions import DENSE, HYBRID, LEXICAL, Question, prepare

_PASSAGES = """
SELECT f.file_id, file.filename, f.id, c.id, c.text, best.score::float8, c.page, c.start, c."end", f.attributes
  FROM (SELECT chunk_id, score FROM fused WHERE score >= %s ORDER BY score DESC, chunk_id LIMIT %s) best
  JOIN knowledge_chunk c ON c.tenant_id = %s AND c.id = best.chunk_id
  JOIN knowledge_vectorstorefile f ON f.tenant_id = %s AND f.id = c.store_file_id
  JOIN knowledge_file file ON file.tenant_id = %s AND file.id = f.file_id
 WHERE {allowed}
 ORDER BY best.score DESC, best.chunk_id"""


def search(
    *,
    store_ids: Sequence[UUID],
    query: str | Sequence[str],
    limit: int = 10,
    filters: Mapping[str, Any] | None = None,
    ranker: str = "auto",
    score_threshold: float = 0.0,
    groups: Collection[str] = (),
) -> SearchResult:
    """The passages of the current tenant's stores that answer `query`, best first; the caller meters the tokens.

    Args:
        query: one wording, or several of the same question.
        filters: OpenAI's comparison and compound filters on the files' attributes.
        ranker: one of `HYBRID`, `dense` or `lexical`.
        groups: the caller's; files that are kept to other groups do not take part (see `access`).

    Raises:
        NotFound: a store that this tenant does not have.
        InvalidRequest: anything out of range, or stores of different embedding models.
        EmbedderUnavailable: try again.
    """
    return answer(
        prepare(
            store_ids=store_ids,
            query=query,
            limit=limit,
            filters=filters,
            ranker=ranker,
            score_threshold=score_threshold,
            groups=groups,
        )
    )


def answer(question: Question) -> SearchResult:
    """Embed the wordings and search: one statement. Raises as `search`."""
    vectors = np.empty((0, 0)) if question.ranker == LEXICAL else question.embedder.embed(question.wordings)
    with tenant_scope() as tenant_id:
        sql, parameters = _statement(question, tenant_id, vectors)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            passages = [_passage(row) for row in cursor.fetchall()]
    return SearchResult(passages, question.embedder.model, question.tokens)


def _statement(question: Question, tenant_id: UUID, vectors: np.ndarray) -> Fragment:
    """The whole search as SQL: the lists, their fusion, the passages."""
    allowed = matching(question, tenant_id)
    condition = CONDITION if allowed else ""
    tables: list[Fragment] = [allowed] if allowed else []
    lists = []
    for number in range(len(question.wordings)):
        if question.ranker != DENSE:
            tables.append(lexical_list(question, number, tenant_id=tenant_id, condition=condition))
            lists.append(f"lexical_{number}")
        if question.ranker != LEXICAL:
            tables.append(dense_list(question, number, vectors[number], tenant_id=tenant_id, condition=condition))
            lists.append(f"dense_{number}")
    parts = [sql for sql, _ in tables] + [fused(lists, by_rank=question.ranker in HYBRID)]
    parameters = [parameter for _, values in tables for parameter in values]
    parameters += [question.score_threshold, question.limit, tenant_id, tenant_id, tenant_id, question.groups]
    # The groups once more, in this statement's own view: a file may have become restricted since the question was checked.
    return f"WITH {','.join(parts)}{_PASSAGES.format(allowed=ALLOWED)}", parameters


def _passage(row: Sequence[Any]) -> Passage:
    *values, attributes = row
    return Passage(*values, json.loads(attributes))  # type: ignore[call-arg]  # mypy cannot count a starred list
