"""What was read from a file, a few pages at a time, with the places at which it was cut into chunks.

A window begins and ends where a page does, or a chunk where the format has no pages, and holds some 12,000 characters:
a file of 10,000 pages is never read as a whole.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Length, Substr

from tenants.errors import NotFound
from tenants.scope import tenant_scope

from .ingestion.preparing import preparation_of
from .models import Chunk, Document, VectorStoreFile

WINDOW_CHARACTERS = 12_000
_LARGEST = 2**31 - 1  # of a chunk's offsets in the database
State = VectorStoreFile.State


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk stands in the text of its document, in characters, and what it knows of itself."""

    ordinal: int
    start: int
    end: int
    page: int | None
    heading: str | None
    tokens: int


@dataclass(frozen=True)
class PagePlace:
    """Where a page stands in the text of its document, in characters."""

    number: int
    start: int
    end: int


@dataclass(frozen=True)
class Window:
    """`text` is the document's from `start` to `end` of `length` characters.

    `chunks` and `pages` are those that touch it, in order; chunks overlap. `previous` and `following` are where the
    windows beside it begin. `cited` is the place that was asked for, None where none was. `page_count` is 0 for a format
    without pages.
    """

    text: str
    start: int
    end: int
    length: int
    chunks: list[ChunkPlace]
    pages: list[PagePlace]
    page_count: int
    previous: int | None
    following: int | None
    cited: tuple[int, int] | None
    title: str | None
    ocr_pages: int
    warnings: list[str]


@dataclass(frozen=True)
class Place:
    """Which place of a document to show; the first that is said counts: a chunk, characters (`start`, `end`), a page, or
    where to go on reading (`at`). The first two are cited places.
    """

    chunk: int | None = None
    start: int | None = None
    end: int | None = None
    page: int | None = None
    at: int | None = None


def attachments_of_file(file_id: UUID) -> list[VectorStoreFile]:
    """A file in each of its stores, those where it can be read first; evaluated in a scope of its own."""
    with tenant_scope():
        rows = VectorStoreFile.objects.filter(file_id=file_id, store__deleted_at=None)
        ordered = rows.order_by(F("completed_at").desc(nulls_last=True), "-id")
        return list(ordered.select_related("file", "store"))


def window(attachment: VectorStoreFile, place: Place) -> Window:
    """What was read from a file for a store, where `place` says; at the beginning where that is nowhere.

    Raises:
        NotFound: its text is not kept: not ingested yet, failed, or ingested before texts were kept.
    """
    with tenant_scope():
        kept = Document.objects.filter(file_id=attachment.file_id, preparation=preparation_of(attachment.store))
        document = kept.annotate(length=Length("text")).defer("text").first()
        if document is None or not attachment.chunk_count:
            raise NotFound("The text of this file is not there.", param="file_id")
        length: int = document.length
        pages = [PagePlace(*span) for span in document.pages]
        asked = _cited(attachment, place, length)
        borders = [page.start for page in pages] or _chunk_starts(attachment)
        start = _start(borders, asked[0]) if asked else _position(place, pages, length)
        end = _end(borders, start, length)
        [text] = kept.annotate(part=Substr("text", start + 1, end - start)).values_list("part", flat=True)
        return Window(
            text=text,
            start=start,
            end=end,
            length=length,
            chunks=_chunks(attachment, start, end),
            pages=[page for page in pages if page.start < end and page.end > start],
            page_count=len(pages),
            previous=_before(borders, start),
            following=end if end < length else None,
            cited=_with_end(asked, text, start),
            title=document.title,
            ocr_pages=document.ocr_pages,
            warnings=list(document.warnings),
        )


def _cited(attachment: VectorStoreFile, place: Place, length: int) -> tuple[int, int | None] | None:
    """The cited place in characters. Without an end it is the chunk that begins there; where none does, the end is None:
    the paragraph's."""
    chunks = Chunk.objects.filter(store_file=attachment).values_list("start", "end")
    if place.chunk is not None:
        return chunks.filter(ordinal=min(place.chunk, _LARGEST)).first()
    if place.start is None or place.start >= length:
        return None
    if place.end is not None and place.start < place.end:
        return place.start, min(place.end, length)
    return chunks.filter(start=place.start).first() or (place.start, None)


def _with_end(asked: tuple[int, int | None] | None, text: str, start: int) -> tuple[int, int] | None:
    if asked is None:
        return None
    first, last = asked
    paragraph = text.find("\n\n", first - start)
    return first, last or start + (len(text) if paragraph < 0 else paragraph)


def _position(place: Place, pages: Sequence[PagePlace], length: int) -> int:
    """Where to read where nothing is cited."""
    if place.page is not None:
        return next((page.start for page in pages if page.number == place.page), 0)
    return place.at if place.at is not None and place.at < length else 0


def _chunk_starts(attachment: VectorStoreFile) -> list[int]:
    return list(Chunk.objects.filter(store_file=attachment).order_by("ordinal").values_list("start", flat=True))


def _start(borders: Sequence[int], at: int) -> int:
    """Where the window begins that shows the character `at`: the border before it, where that is near."""
    here = bisect_right(borders, at) - 1
    return max(borders[here] if here >= 0 else 0, at - WINDOW_CHARACTERS // 2)


def _end(borders: Sequence[int], start: int, length: int) -> int:
    """The last border within reach of a window that begins at `start`."""
    reach = start + WINDOW_CHARACTERS
    last = bisect_right(borders, reach) - 1
    return length if reach >= length else borders[last] if last >= 0 and borders[last] > start else reach


def _before(borders: Sequence[int], start: int) -> int | None:
    """Where the window before `start` begins."""
    if start <= 0:
        return None
    earliest = max(0, start - WINDOW_CHARACTERS)
    first = bisect_left(borders, earliest)
    return borders[first] if first < len(borders) and borders[first] < start else earliest


def _chunks(attachment: VectorStoreFile, start: int, end: int) -> list[ChunkPlace]:
    rows = Chunk.objects.filter(store_file=attachment, start__lt=end, end__gt=start).order_by("ordinal")
    return [ChunkPlace(*row) for row in rows.values_list("ordinal", "start", "end", "page", "heading", "tokens")]
