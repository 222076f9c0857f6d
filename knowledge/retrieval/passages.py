"""What a search answers."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID


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
