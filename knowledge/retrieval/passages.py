"""What a search answers, and reading it for the chunks that were chosen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection

from ..access import ALLOWED
from .dense import vector_literal
from .questions import Question

_PASSAGES = """
SELECT f.file_id, file.filename, f.id, c.id, c.text, chosen.score, c.page, c.start, c."end", f.attributes, c.ordinal
  FROM unnest(%s::uuid[], %s::float8[]) WITH ORDINALITY AS chosen (id, score, place)
  JOIN knowledge_chunk c ON c.tenant_id = %s AND c.id = chosen.id
  JOIN knowledge_vectorstorefile f ON f.tenant_id = %s AND f.id = c.store_file_id
  JOIN knowledge_file file ON file.tenant_id = %s AND file.id = f.file_id
 WHERE {allowed}
 ORDER BY chosen.place"""
# Of each chunk the embedded span that is nearest to the query. Of several rows the one with the chunk's own place is
# their mean.
_NEAREST = """
SELECT DISTINCT ON (e.chunk_id) e.chunk_id, e.start, e."end", page_of(e.tenant_id, f.file_id, e.start)
  FROM knowledge_embedding e
  JOIN knowledge_chunk c ON c.tenant_id = %s AND c.id = e.chunk_id
  JOIN knowledge_vectorstorefile f ON f.tenant_id = %s AND f.id = e.store_file_id
 WHERE e.tenant_id = %s AND e.chunk_id = ANY (%s::uuid[]) AND e.space_id = %s
   AND (e.passage = 0 OR (e.start, e."end") <> (c.start, c."end"))
 ORDER BY e.chunk_id, e.embedding::halfvec({dimensions}) <#> %s::halfvec({dimensions})"""
_AROUND = """
SELECT near.id, c.text, c.start, c."end", c.page
  FROM unnest(%s::uuid[], %s::uuid[], %s::int[]) AS near (id, store_file_id, ordinal)
  JOIN knowledge_chunk c ON c.tenant_id = %s AND c.store_file_id = near.store_file_id
                        AND c.ordinal BETWEEN near.ordinal - %s AND near.ordinal + %s
 ORDER BY near.id, c.ordinal"""


@dataclass(frozen=True)
class Span:
    """A place in a document's text, in characters, and the page on which it begins, where that is known."""

    start: int
    end: int
    page: int | None


@dataclass(frozen=True)
class Passage:
    """A piece of a document that answers: its place (characters; `page` of its start) and its score, 0 to 1.

    `text` is the chunk with the neighbours that were asked for. `matched` is the part of it that is nearest in meaning
    to the (first wording of the) query; None where nothing was embedded for it.
    """

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
    matched: Span | None = None


@dataclass(frozen=True)
class SearchResult:
    """Passages, best first, and what finding them used: `embedding_tokens` of `embedding_model`.

    `wordings` are the queries as they were searched.
    """

    passages: list[Passage]
    embedding_model: str
    embedding_tokens: int
    wordings: list[str]


def read_passages(
    question: Question, chosen: Sequence[tuple[UUID, float]], tenant_id: UUID, vector: np.ndarray | None
) -> list[Passage]:
    """The passages of the chosen chunks (id, score), in their order; inside a scope.

    The groups are asked once more: a file may have become restricted since the question was checked.
    """
    if not chosen:
        return []
    ids = [ident for ident, _ in chosen]
    rows = _rows(
        _PASSAGES.format(allowed=ALLOWED),
        [ids, [score for _, score in chosen], tenant_id, tenant_id, tenant_id, question.groups],
    )
    matched = _matched(question, ids, tenant_id, vector) if vector is not None else {}
    around = _around(rows, question.neighbors, tenant_id) if question.neighbors else {}
    return [_passage(row, matched, around) for row in rows]


def _passage(row: Sequence[Any], matched: dict[UUID, Span], around: dict[UUID, tuple[Any, ...]]) -> Passage:
    file_id, filename, store_file_id, ident, text, score, page, start, end, attributes, _ = row
    text, start, end, page = around.get(ident, (text, start, end, page))
    described = json.loads(attributes)
    return Passage(
        file_id, filename, store_file_id, ident, text, score, page, start, end, described, matched.get(ident)
    )


def _matched(question: Question, ids: list[UUID], tenant_id: UUID, vector: np.ndarray) -> dict[UUID, Span]:
    literal = vector_literal(vector)
    sql = _NEAREST.format(dimensions=question.embedder.dimensions)
    return {
        chunk: Span(start, end, page)
        for chunk, start, end, page in _rows(sql, [tenant_id, tenant_id, tenant_id, ids, question.space_id, literal])
    }


def _around(rows: Sequence[Sequence[Any]], neighbors: int, tenant_id: UUID) -> dict[UUID, tuple[Any, ...]]:
    """Of each chunk (text, start, end, page) with its neighbours, what they share once."""
    ids, files, ordinals = ([row[column] for row in rows] for column in (3, 2, 10))
    pieces: dict[UUID, list[Sequence[Any]]] = {}
    for ident, *piece in _rows(_AROUND, [ids, files, ordinals, tenant_id, neighbors, neighbors]):
        pieces.setdefault(ident, []).append(piece)
    return {ident: joined(found) for ident, found in pieces.items()}


def joined(pieces: Sequence[Sequence[Any]]) -> tuple[str, int, int, int | None]:
    """Pieces (text, start, end, page) of one document, in order, as one; the white space between two is line breaks."""
    text, start, end, page = pieces[0]
    for more, begins, ends, _ in pieces[1:]:
        if ends > end:
            text += "\n" * (begins - end) + more[max(0, end - begins) :]
            end = ends
    return text, start, end, page


def _rows(sql: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()
