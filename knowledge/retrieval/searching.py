"""A search from query to passages: one statement makes the lists and fuses them; the chosen chunks are read after it."""

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID

import numpy as np
from django.db import connection
from pgvector import HalfVector

from tenants.scope import tenant_scope

from ..filters import Fragment
from .dense import dense_list, efforts, off_topic
from .diversity import Candidate, diverse, without_overlap
from .fusion import dense_weight, fused
from .lexical import lexical_list
from .matching import CONDITION, matching
from .passages import Passage, SearchResult, read_passages
from .questions import DENSE, HYBRID, LEXICAL, Options, Question, prepare

# Ranked chunks looked at for each that is answered: the default chunking has two that overlap with each.
_LOOKED_AT = 4
# Times that a search is made where files are replaced under it.
_MOST_TRIES = 3
_CANDIDATES = """
SELECT c.id, f.file_id, c.start, c."end", greatest(best.score, 0)::float8, {off_topic}
  FROM (SELECT chunk_id, score FROM fused WHERE score >= %s ORDER BY score DESC, chunk_id LIMIT %s) best
  JOIN knowledge_chunk c ON c.tenant_id = %s AND c.id = best.chunk_id
  JOIN knowledge_vectorstorefile f ON f.tenant_id = %s AND f.id = c.store_file_id
 ORDER BY best.score DESC, best.chunk_id"""
# The last of a chunk's vectors is the mean of several.
_VECTORS = """
SELECT DISTINCT ON (chunk_id) chunk_id, embedding::text FROM knowledge_embedding
 WHERE tenant_id = %s AND space_id = %s AND chunk_id = ANY (%s::uuid[]) ORDER BY chunk_id, passage DESC"""


def search(*, store_ids: Sequence[UUID], query: str | Sequence[str], **options: Unpack[Options]) -> SearchResult:
    """The passages of the current tenant's stores that answer `query`, best first; the caller meters the tokens.

    Models that rewrite or rank again are asked by `metered_search` only.

    Raises:
        NotFound, InvalidRequest: see `prepare`, which also says what the options mean.
        EmbedderUnavailable: try again.
    """
    return answer(prepare(store_ids=store_ids, query=query, **options))


def answer(question: Question) -> SearchResult:
    """Embed the wordings and search. Raises as `search`."""
    vectors = np.empty((0, 0)) if question.ranker == LEXICAL else question.embedder.embed(question.wordings)
    for _ in range(_MOST_TRIES):
        passages, is_whole = _found(question, vectors)
        if is_whole:
            break
    return SearchResult(passages, question.embedder.model, question.tokens, question.wordings)


def _found(question: Question, vectors: np.ndarray) -> tuple[list[Passage], bool]:
    """The passages, and whether all that were chosen could be read: each statement sees what is committed by then, and
    a file may have been replaced in between, whose new version stands in its place now.
    """
    *_, last = efforts(question)
    for local in efforts(question):
        with tenant_scope(local=local) as tenant_id:
            ranked, more_pays = _candidates(question, tenant_id, vectors)
            if more_pays and local != last:
                continue
            chosen = [(candidate.id, candidate.score) for candidate in _chosen(question, ranked, tenant_id)]
            passages = read_passages(question, chosen, tenant_id, vectors[0] if len(vectors) else None)
            return passages, len(passages) == len(chosen)
    return [], True


def _candidates(question: Question, tenant_id: UUID, vectors: np.ndarray) -> tuple[list[Candidate], bool]:
    """The ranked chunks, and whether more effort would find better ones."""
    sql, parameters = _statement(question, tenant_id, vectors)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    return [Candidate(*row) for *row, _ in rows], any(more_pays for *_, more_pays in rows)


def _chosen(question: Question, ranked: Sequence[Candidate], tenant_id: UUID) -> list[Candidate]:
    kept = without_overlap(ranked)
    if question.mmr_lambda == 1 or len(kept) < 2:
        return kept[: question.limit]
    with connection.cursor() as cursor:
        cursor.execute(_VECTORS, [tenant_id, question.space_id, [candidate.id for candidate in kept]])
        vectors = {chunk: HalfVector.from_text(text).to_numpy().astype(np.float32) for chunk, text in cursor.fetchall()}
    return diverse(kept, vectors, mmr_lambda=question.mmr_lambda, limit=question.limit)


def _statement(question: Question, tenant_id: UUID, vectors: np.ndarray) -> Fragment:
    """The ranked chunks as SQL: the lists, their fusion, where the best of it stand."""
    allowed = matching(question, tenant_id)
    condition = CONDITION if allowed else ""
    tables: list[Fragment] = [allowed] if allowed else []
    lists: dict[str, float] = {}
    for number in range(len(question.wordings)):
        if question.ranker != DENSE:
            tables.append(lexical_list(question, number, tenant_id=tenant_id, condition=condition))
            lists[f"lexical_{number}"] = 1.0
        if question.ranker != LEXICAL:
            tables.append(dense_list(question, number, vectors[number], tenant_id=tenant_id, condition=condition))
            lists[f"dense_{number}"] = dense_weight(question, number)
    parts = [sql for sql, _ in tables] + [fused(lists, by_rank=question.ranker in HYBRID)]
    parameters = [parameter for _, values in tables for parameter in values]
    # A threshold of 0 leaves nothing out: what points away from the question (a cosine below 0) may still be asked for.
    parameters += [question.score_threshold or -1.0, question.limit * _LOOKED_AT, tenant_id, tenant_id]
    return f"WITH {','.join(parts)}{_CANDIDATES.format(off_topic=off_topic(question))}", parameters
