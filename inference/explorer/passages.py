"""What search found for a call, and where that stands today."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from knowledge.models import Chunk
from knowledge.plain_text import as_read

from ..models import Generation

_SHOWN = 1_200


@dataclass(frozen=True)
class Found:
    """A passage. `number` is the one by which the answer cites it; None: the model was not given it.

    `text` is for reading, and empty where the file has been deleted or replaced since.
    """

    file_id: UUID
    filename: str
    document_id: UUID
    page: int | None
    start: int
    end: int
    score: float
    number: int | None
    text: str = ""
    heading: str = ""


def found_of(row: Generation) -> list[Found]:
    """The passages, best first, with their text as it is stored now."""
    places = row.found or []
    chunks = Chunk.objects.filter(id__in=[place["chunk_id"] for place in places])
    texts = {str(ident): (text, heading) for ident, text, heading in chunks.values_list("id", "text", "heading")}
    return [_found(place, texts.get(place["chunk_id"], ("", ""))) for place in places]


def _found(place: dict[str, Any], chunk: tuple[str, str | None]) -> Found:
    text, heading = chunk
    return Found(
        file_id=UUID(place["file_id"]),
        filename=place["filename"],
        document_id=UUID(place["store_file_id"]),
        page=place["page"],
        start=place["start"],
        end=place["end"],
        score=place["score"],
        number=place["number"],
        text=as_read(text[:_SHOWN]),
        heading=as_read(heading or ""),
    )
