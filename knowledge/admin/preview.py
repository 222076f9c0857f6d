"""What was read from a file: its text with the places where it was cut, opened where a citation points."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from tenants.desk.pages import DeskPage, desk_page
from tenants.errors import NotFound
from tenants.ids import public_id

from ..models import VectorStoreFile
from ..previews import ChunkPlace, Place, Window, attachments_of_file, window
from .download import FileDownload
from .file_rows import row_of
from .owners import acting_for_owner, file_or_none


@dataclass(frozen=True)
class Block:
    """Text between two places at which a page or a chunk begins or ends; `runs` are (text, whether it is cited)."""

    page: int | None = None
    begins: list[ChunkPlace] = field(default_factory=list)
    ends: list[ChunkPlace] = field(default_factory=list)
    inside: list[int] = field(default_factory=list)
    runs: list[tuple[str, bool]] = field(default_factory=list)


def blocks_of(found: Window) -> Iterator[Block]:
    """A window's text in blocks, in order."""
    pages = {max(page.start, found.start): page.number for page in found.pages}
    borders = {found.start, found.end, *pages}
    for chunk in found.chunks:
        borders |= {chunk.start, chunk.end}
    inside = sorted(border for border in borders if found.start <= border <= found.end)
    for start, end in pairwise(inside):
        yield Block(
            page=pages.get(start),
            begins=[chunk for chunk in found.chunks if chunk.start == start],
            ends=[chunk for chunk in found.chunks if chunk.end == end],
            inside=[chunk.ordinal + 1 for chunk in found.chunks if chunk.start <= start < chunk.end],
            runs=list(_runs(found, start, end)),
        )


def _runs(found: Window, start: int, end: int) -> Iterator[tuple[str, bool]]:
    cited = found.cited or (0, 0)
    cuts = [start, *(cut for cut in cited if start < cut < end), end]
    for first, last in pairwise(cuts):
        text = found.text[first - found.start : last - found.start].strip("\n")
        if text:
            yield text, cited[0] <= first < cited[1]


def number_in(query: Any, name: str) -> int | None:
    """A number of a query that says one; nonsense is none."""
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


@desk_page
class FilePreview(DeskPage):
    """`?start=` and `end` are characters, `page` and `chunk` count from 1, `store` says as which store has it; `from` goes on
    reading there.
    """

    name, path, area = "file_preview", "knowledge/file/<uuid:file_id>/preview/", "documents"
    template_name = "desk/file_preview.html"

    def get(self, request: HttpRequest, *args: Any, file_id: UUID, **kwargs: Any) -> HttpResponse:
        """The window that the query asks for."""
        file = file_or_none(file_id)
        if file is None:
            messages.warning(request, "This file does not exist. Perhaps it was deleted.")
            return HttpResponseRedirect(reverse("admin:knowledge_file_changelist"))
        with acting_for_owner(file):
            attachments = attachments_of_file(file.id)
            shown = self._shown(attachments)
            context = {"title": f"Text of {file.filename}", "file": file, "public_id": public_id("file-", file.id)}
            context |= {"attachments": [row_of(row) for row in attachments], "shown": shown and row_of(shown)}
            context |= {
                "may_change": self.visitor.may("documents.change"),
                "may_download": FileDownload.may(self.visitor),
            }
            context |= self._window(shown) if shown else {}
            return self.render_to_response(self.get_context_data(**context, **kwargs))

    def _shown(self, attachments: list[VectorStoreFile]) -> VectorStoreFile | None:
        """As the store that was named has it, or the first that can be read."""
        wanted = self.request.GET.get("store", "")
        named = [row for row in attachments if str(row.store_id) == wanted]
        return next(iter([*named, *attachments]), None)

    def _window(self, attachment: VectorStoreFile) -> dict[str, Any]:
        query = self.request.GET
        chunk = number_in(query, "chunk")
        place = Place(
            chunk=chunk - 1 if chunk else None,
            start=number_in(query, "start"),
            end=number_in(query, "end"),
            page=number_in(query, "page"),
            at=number_in(query, "from"),
        )
        try:
            found = window(attachment, place)
        except NotFound:
            return {}
        blocks = list(blocks_of(found))
        return {
            "window": found,
            "blocks": blocks,
            "chunk_total": attachment.chunk_count,
            "previous": self._link(attachment, found.previous),
            "following": self._link(attachment, found.following),
            "first_page": found.pages[0].number if found.pages else None,
            "last_page": found.pages[-1].number if found.pages else None,
        }

    def _link(self, attachment: VectorStoreFile, start: int | None) -> str | None:
        return None if start is None else f"?store={attachment.store_id}&from={start}"
