"""Hybrid search: what a tenant's stores say about a query.

Two lists are made in one statement: by meaning (an exact scan of the stores' vectors) and by words (BM25, see
`sql/terms.sql`); reciprocal ranks fuse them (Cormack, Clarke and Büttcher 2009, k = 60). Several wordings of a query
make several lists of each kind. The scans read the rows of the stores that are asked, so no tenant's size or
vocabulary shows in another's answers or times.

Scores are between 0 and 1. Fused: the sum of 1 / (60 + rank) over the lists, as a share of what a passage first in all
of them gets; so it says how well a passage did among the others, not how relevant it is. `dense`: the cosine similarity
to the query. `lexical`: the BM25 score as a share of the best passage's. `score_threshold` leaves out what is below.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection
from pgvector import HalfVector

from tenants.errors import InvalidRequest, NotFound
from tenants.scope import tenant_scope

from .attributes import storable
from .filters import compile_filter
from .models import VectorStore
from .ports import Embedder, SpaceChanged, embedder_for
from .vector_stores import expires_at

MAX_RESULTS = 50
MAX_WORDINGS, MAX_QUERY_CHARACTERS = 8, 8192
RRF_K = 60
#: What `ranker` may be. OpenAI's three all mean the fusion of both lists.
HYBRID = ("auto", "default-2024-11-15", "none", "hybrid")
DENSE, LEXICAL = "dense", "lexical"
_CANDIDATES = 100  # chunks of a list that take part in the fusion
_NEAREST_ROWS = 1000  # vectors looked at for them: a long chunk has many
_ACTIVE_EVERY = timedelta(hours=1)

_LEXICAL = """
words_{n} AS MATERIALIZED (SELECT lexical_query(%s, %s::uuid[], %s) AS weights),
list_{m} AS (
  SELECT chunk_id, score / max(score) OVER () AS score, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank FROM (
    SELECT chunk_id, -(weights <#> (SELECT weights FROM words_{n})) AS score FROM knowledge_chunkterms
     WHERE tenant_id = %s AND store_id = ANY (%s::uuid[]) {filter}
     ORDER BY weights <#> (SELECT weights FROM words_{n}), chunk_id LIMIT {candidates}) found
   WHERE score > 0)"""
_DENSE = """
list_{m} AS (
  SELECT chunk_id, score, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank FROM (
    SELECT chunk_id, max(score) AS score FROM (
      SELECT chunk_id, -(embedding::halfvec({dimensions}) <#> %s::halfvec({dimensions})) AS score FROM knowledge_embedding
       WHERE tenant_id = %s AND space_id = %s AND store_id = ANY (%s::uuid[]) {filter}
       ORDER BY embedding::halfvec({dimensions}) <#> %s::halfvec({dimensions}) LIMIT {rows}) nearest
     GROUP BY chunk_id ORDER BY 2 DESC, 1 LIMIT {candidates}) found)"""
_FILTERED = "AND store_file_id IN (SELECT id FROM matching)"
_MATCHING = """
matching AS MATERIALIZED (
  SELECT id FROM knowledge_vectorstorefile f WHERE tenant_id = %s AND store_id = ANY (%s::uuid[]) AND {condition})"""
_FUSED = """
fused AS (SELECT chunk_id, sum(1.0 / ({k} + rank)) * ({k} + 1) / {lists} AS score FROM ({union}) listed GROUP BY chunk_id)"""
_SINGLE = "\nfused AS (SELECT chunk_id, max(score) AS score FROM ({union}) listed GROUP BY chunk_id)"
_PASSAGES = """
SELECT f.file_id, file.filename, f.id, c.id, c.text, best.score::float8, c.page, c.start, c."end", f.attributes
  FROM (SELECT chunk_id, score FROM fused WHERE score >= %s ORDER BY score DESC, chunk_id LIMIT %s) best
  JOIN knowledge_chunk c ON c.tenant_id = %s AND c.id = best.chunk_id
  JOIN knowledge_vectorstorefile f ON f.tenant_id = %s AND f.id = c.store_file_id
  JOIN knowledge_file file ON file.tenant_id = %s AND file.id = f.file_id
 ORDER BY best.score DESC, best.chunk_id"""


@dataclass(frozen=True)
class Passage:
    """A chunk that answers: its place in the document (characters; `page` of its start) and its score, 0 to 1."""

    file_id: UUID
    filename: str
    store_file_id: UUID
    chunk_id: UUID
    text: str
    score: float
    page: int | None
    start: int
    end: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class SearchResult:
    """Passages, best first, and what finding them used: `embedding_tokens` of `embedding_model`."""

    passages: list[Passage]
    embedding_model: str
    embedding_tokens: int


@dataclass(frozen=True)
class Question:
    """A checked search, before anything is spent on it."""

    store_ids: list[UUID]
    wordings: list[str]
    space_id: UUID
    embedder: Embedder
    tokens: int
    limit: int
    ranker: str
    score_threshold: float
    filters: Mapping[str, Any] | None


def search(
    *,
    store_ids: Sequence[UUID],
    query: str | Sequence[str],
    limit: int = 10,
    filters: Mapping[str, Any] | None = None,
    ranker: str = "auto",
    score_threshold: float = 0.0,
) -> SearchResult:
    """The passages of the current tenant's stores that answer `query`, best first; the caller meters the tokens.

    Args:
        query: one wording, or several of the same question.
        filters: OpenAI's comparison and compound filters on the files' attributes.
        ranker: one of `HYBRID`, `dense` or `lexical`.

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
        )
    )


def prepare(
    *,
    store_ids: Sequence[UUID],
    query: str | Sequence[str],
    limit: int = 10,
    filters: Mapping[str, Any] | None = None,
    ranker: str = "auto",
    score_threshold: float = 0.0,
) -> Question:
    """Check a search and count the tokens it will embed; raises as `search`."""
    wordings = [query] if isinstance(query, str) else list(query)
    _check(wordings, limit, ranker, score_threshold)
    stores = _stores(store_ids)
    if len({store.space_id for store in stores}) > 1:
        raise InvalidRequest(
            "These vector stores have different embedding models. Search them one at a time.", param="vector_store_ids"
        )
    embedder = embedder_for(stores[0].embedding_model)
    if embedder.space != stores[0].space.name:
        raise SpaceChanged(stores[0].space.name)
    return Question(
        store_ids=[store.id for store in stores],
        wordings=wordings,
        space_id=stores[0].space_id,
        embedder=embedder,
        tokens=0 if ranker == LEXICAL else sum(embedder.count_tokens(wording) for wording in wordings),
        limit=limit,
        ranker=ranker,
        score_threshold=score_threshold,
        filters=filters,
    )


def _check(wordings: list[str], limit: int, ranker: str, score_threshold: float) -> None:
    if not 0 < len(wordings) <= MAX_WORDINGS:
        raise InvalidRequest(f"Invalid 'query': 1 to {MAX_WORDINGS} wordings.", param="query")
    if not all(0 < len(text.strip()) <= len(text) <= MAX_QUERY_CHARACTERS and storable(text) for text in wordings):
        raise InvalidRequest(f"Invalid 'query': 1 to {MAX_QUERY_CHARACTERS} characters.", param="query")
    if not 1 <= limit <= MAX_RESULTS:
        raise InvalidRequest(f"Invalid 'max_num_results': must be from 1 to {MAX_RESULTS}.", param="max_num_results")
    if ranker not in (*HYBRID, DENSE, LEXICAL):
        known = ", ".join((*HYBRID, DENSE, LEXICAL))
        raise InvalidRequest(f"Invalid 'ranker': must be one of {known}.", param="ranking_options.ranker")
    if not 0 <= score_threshold <= 1:
        raise InvalidRequest("Invalid 'score_threshold': must be from 0 to 1.", param="ranking_options.score_threshold")


def _stores(store_ids: Sequence[UUID]) -> list[VectorStore]:
    """The stores that are asked, in use from now on.

    Raises:
        NotFound: one is missing, expired, or another tenant's.
    """
    wanted, now = set(store_ids), datetime.now(UTC)
    with tenant_scope():
        stores = list(VectorStore.objects.filter(id__in=wanted).select_related("space"))
        living = [store for store in stores if (until := expires_at(store)) is None or until > now]
        if not wanted or len(living) != len(wanted):
            raise NotFound("No such VectorStore object.", param="vector_store_id")
        idle = [store.id for store in living if store.expires_after_days and store.last_active_at < now - _ACTIVE_EVERY]
        if idle:
            VectorStore.objects.filter(id__in=idle).update(last_active_at=now)
    return living


def answer(question: Question) -> SearchResult:
    """Embed the wordings and search: one statement. Raises as `search`."""
    vectors = np.empty((0, 0)) if question.ranker == LEXICAL else question.embedder.embed(question.wordings)
    with tenant_scope() as tenant_id:
        sql, parameters = _statement(question, tenant_id, vectors)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            passages = [_passage(row) for row in cursor.fetchall()]
    return SearchResult(passages, question.embedder.model, question.tokens)


def _statement(question: Question, tenant_id: UUID, vectors: np.ndarray) -> tuple[str, list[Any]]:
    """The whole search as SQL: the lists, their fusion, the passages."""
    stores = question.store_ids
    tables, parameters, lists = [], [], 0
    if question.filters:
        condition, values = compile_filter(question.filters, column="f.attributes")
        tables.append(_MATCHING.format(condition=condition))
        parameters += [tenant_id, stores, *values]
    where = _FILTERED if question.filters else ""
    for number, wording in enumerate(question.wordings):
        if question.ranker != DENSE:
            tables.append(_LEXICAL.format(n=number, m=lists, filter=where, candidates=_CANDIDATES))
            parameters += [tenant_id, stores, wording, tenant_id, stores]
            lists += 1
        if question.ranker != LEXICAL:
            vector = _literal(vectors[number])
            dimensions = question.embedder.dimensions
            tables.append(
                _DENSE.format(m=lists, dimensions=dimensions, filter=where, rows=_NEAREST_ROWS, candidates=_CANDIDATES)
            )
            parameters += [vector, tenant_id, question.space_id, stores, vector]
            lists += 1
    union = " UNION ALL ".join(f"TABLE list_{number}" for number in range(lists))
    fusion = _FUSED if question.ranker in HYBRID else _SINGLE
    tables.append(fusion.format(k=RRF_K, lists=lists, union=union))
    parameters += [question.score_threshold, question.limit, tenant_id, tenant_id, tenant_id]
    return f"WITH {','.join(tables)}{_PASSAGES}", parameters


def _literal(vector: np.ndarray) -> str:
    """A query vector of length 1 as pgvector reads it."""
    return HalfVector(vector / max(float(np.linalg.norm(vector)), 1e-12)).to_text()


def _passage(row: Sequence[Any]) -> Passage:
    *values, attributes = row
    return Passage(*values, json.loads(attributes))  # type: ignore[call-arg]  # mypy cannot count a starred list
