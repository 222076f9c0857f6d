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
    """What one file may cost. Bytes and seconds.

    `memory_bytes` is the address space of each process; some 150 MiB of it are libraries of which little is ever
    touched, so that resident memory stays below 512 MiB.

    Seconds are of a processor: a machine under load must not make a good file fail. By the clock a step may take
    `patience` times as long. `seconds` is for reading. Recognising text in an image is slow, honest work and has a
    budget of its own: one image or page may take `seconds_per_scan`, all of them in one call `scan_seconds`.
    """

    file_bytes: int = 64 * 2**20
    unpacked_bytes: int = 256 * 2**20
    memory_bytes: int = 640 * 2**20
    seconds: float = 8.0
    seconds_per_scan: float = 30.0
    scan_seconds: float = 900.0
    patience: float = 6.0
    text_characters: int = 20_000_000
    pages: int = 20_000


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Page `number` (from 1) is `text[start:end]`; offsets count characters."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """`text` is Markdown, except for plain text; `pages` is empty for formats without pages; no NUL in `text`.

    A row of a table is a line that names each value's column: "Ship: Anna; Berth: 4". `ocr_pages` counts the pages and
    images whose text was recognised. `warnings` are sentences for the uploader on what could not be read: a page, an
    attachment, a member of an archive.
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

    `scanned` are the numbers (from 1) of the pages whose text must be recognised, seconds each; None: unknown, because
    looking would have taken too long.
    """

    mime_type: str
    pages: int | None = None
    scanned: frozenset[int] | None = None
