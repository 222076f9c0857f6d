"""What goes into the parser and what comes out: limits, parsed documents, and the two ways to fail."""

from dataclasses import dataclass

UNSUPPORTED_FILE = "unsupported_file"
INVALID_FILE = "invalid_file"


class UnreadableFile(Exception):
    """The file cannot be ingested, now or ever: `code` is the wire's, `message` tells the uploader what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ParserUnavailable(Exception):
    """The parser's process went away for no fault of the file; temporary."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. Bytes and seconds; `memory_bytes` is address space, so resident memory stays below it.

    Recognising the text of a scan is slow honest work: every such page adds `seconds_per_scan` to `seconds`.
    """

    file_bytes: int = 64 * 2**20
    unpacked_bytes: int = 256 * 2**20
    memory_bytes: int = 512 * 2**20
    seconds: float = 8.0
    seconds_per_scan: float = 30.0
    text_characters: int = 20_000_000


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Page `number` (from 1) is `text[start:end]`; offsets count characters."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """`text` is Markdown, except for plain text; `pages` is empty for formats without pages; no NUL in `text`.

    `ocr_pages` counts the pages whose text was recognised in an image. `warnings` are sentences for the uploader on
    what could not be read: a page, an attachment, a member of an archive.
    """

    text: str
    pages: tuple[PageSpan, ...]
    title: str | None
    mime_type: str
    ocr_pages: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look at the file tells: `pages` is None for formats that are not read by page (`parse` reads those).

    `scanned` are the numbers (from 1) of pages without a usable text layer; None: not looked at.
    """

    mime_type: str
    pages: int | None = None
    scanned: frozenset[int] | None = None
