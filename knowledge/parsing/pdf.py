"""PDF by pages, with pdfium; only the parser's child may call this."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pypdfium2

from . import file_types
from .documents import INVALID_FILE, UnreadableFile


def check_complete(data: bytes) -> None:
    """Raise UnreadableFile for a file that was cut off: a parser would mend it and silently lose the rest."""
    if b"%%EOF" not in data[-4096:]:
        raise file_types.corrupt()


def count_pages(data: bytes) -> int:
    """How many pages there are."""
    with _opened(data) as document:
        return len(document)


def extract_pages(data: bytes, first: int, last: int) -> bytes:
    """A PDF of the pages `first` to `last` (from 1, both included) alone."""
    with _opened(data) as document:
        if not 1 <= first <= last <= len(document):
            raise UnreadableFile(INVALID_FILE, f"The file has {len(document)} pages, not {first} to {last}.")
        part = pypdfium2.PdfDocument.new()
        part.import_pages(document, list(range(first - 1, last)))
        written = io.BytesIO()
        part.save(written)
        return written.getvalue()


@contextmanager
def _opened(data: bytes) -> Iterator[pypdfium2.PdfDocument]:
    check_complete(data)
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise file_types.encrypted() if b"/Encrypt" in data else file_types.corrupt() from error
    with document:
        yield document
