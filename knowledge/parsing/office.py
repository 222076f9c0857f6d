"""What xberg reads: office documents, web pages and text in any encoding; in a step only (see `steps`)."""

import asyncio
import html
import re
from typing import Any

import xberg

from . import failures, file_types, text_encoding
from .file_types import HTML, MARKDOWN, PLAIN, PPTX
from .tables import spell_tables

_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,1000})</title", re.IGNORECASE)
_MOST_CELLS = 5_000_000  # in one table; beyond it xberg would give the table's raw text


def read(data: bytes, mime_type: str) -> dict[str, Any]:
    """{"title", "pages": [[number or None, Markdown]]}; slides have numbers and end with the speaker's notes."""
    if mime_type in (HTML, MARKDOWN):
        data = decode(data).encode("utf-8", "replace")
    document = extract(data, mime_type)
    title = document.metadata.title or _html_title(data, mime_type)
    if mime_type == PPTX:
        return {"title": title, "pages": [[page.page_number, _slide(page)] for page in document.pages or []]}
    text = document.content if mime_type == PLAIN else spell_tables(document.content)
    return {"title": title, "pages": [[None, text]]}


def decode(data: bytes) -> str:
    """Text in whatever encoding: the one that is certain, else the most likely."""
    text = text_encoding.decoded(data)
    if text is None:
        text = str(extract(data, PLAIN).content)
    return text


def extract(data: bytes, mime_type: str) -> Any:
    """xberg's document. Raises UnreadableFile."""
    source = xberg.ExtractInput(kind="bytes", bytes=data, mime_type=mime_type)
    try:
        result = asyncio.run(xberg.extract(source, _config(mime_type)))
    except (RuntimeError, ValueError, xberg.XbergError) as error:
        raise failures.corrupt() from error
    if not result.results:
        raise failures.corrupt()
    return result.results[0]


def _config(mime_type: str) -> xberg.ExtractionConfig:
    return xberg.ExtractionConfig(
        disable_ocr=True,
        use_cache=False,
        output_format="plain" if mime_type == PLAIN else "markdown",
        pages=xberg.PageConfig(extract_pages=mime_type in (file_types.PDF, PPTX)),
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
        security_limits=xberg.SecurityLimits(max_table_cells=_MOST_CELLS),
        # Its front matter would turn the title into a heading of the text; images are links to elsewhere.
        html_options=xberg.ConversionOptions(extract_metadata=False, skip_images=True),
    )


def _slide(page: Any) -> str:
    notes = f"\n\nNotes: {page.speaker_notes.strip()}" if (page.speaker_notes or "").strip() else ""
    return spell_tables(page.content).strip() + notes


def _html_title(data: bytes, mime_type: str) -> str | None:
    """Read by hand: xberg gives an HTML page's title only as front matter inside the text."""
    found = _TITLE.search(data[:65536]) if mime_type == HTML else None
    return " ".join(html.unescape(found[1].decode(errors="replace")).split()) if found else None
