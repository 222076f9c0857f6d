"""Why a file cannot be read, in words for its uploader."""

import signal
from collections.abc import Sequence

from .documents import INVALID_FILE, UNSUPPORTED_FILE, UnreadableFile

_OUT_OF_TIME = {-signal.SIGPROF, -signal.SIGALRM, -signal.SIGKILL}
_OUT_OF_MEMORY = -signal.SIGABRT  # Rust aborts when an allocation is refused
SUPPORTED = (
    "PDF, DOCX, PPTX, XLSX, ODT, ODS, RTF, HTML, Markdown, CSV, TSV, JSON, JSONL, EML, PNG, JPEG, TIFF, ZIP or text"
)


def unsupported() -> UnreadableFile:
    return UnreadableFile(UNSUPPORTED_FILE, f"Files of this kind are not supported. Upload {SUPPORTED}.")


def encrypted() -> UnreadableFile:
    return UnreadableFile(INVALID_FILE, "The file is protected by a password. Remove the password and upload it again.")


def corrupt() -> UnreadableFile:
    return UnreadableFile(
        INVALID_FILE, "The file is damaged: it cannot be read. Open and save it again, then upload it."
    )


def bomb() -> UnreadableFile:
    return UnreadableFile(
        INVALID_FILE, "The file unpacks to far more than it may (a zip bomb, or an archive too large)."
    )


def too_slow() -> UnreadableFile:
    return UnreadableFile(INVALID_FILE, "Reading the file takes too long. Split it and upload the parts.")


def too_much_memory() -> UnreadableFile:
    return UnreadableFile(
        INVALID_FILE, "Reading the file takes more memory than one file may use. Split it and upload the parts."
    )


def too_long(limit: int) -> UnreadableFile:
    return UnreadableFile(INVALID_FILE, f"The file holds more than {limit:,} characters of text, the limit. Split it.")


def too_many_pages(pages: int, limit: int) -> UnreadableFile:
    return UnreadableFile(INVALID_FILE, f"The file has {pages:,} pages; the limit is {limit:,}. Split it.")


def too_many_pixels(width: int, height: int) -> UnreadableFile:
    return UnreadableFile(
        INVALID_FILE, f"The image of {width:,} x {height:,} pixels is too large. Scan it at 300 dots per inch."
    )


def nested_too_deep() -> UnreadableFile:
    return UnreadableFile(INVALID_FILE, "The file is nested too deeply.")


def no_text(warnings: Sequence[str] = ()) -> UnreadableFile:
    """The first of the warnings stands for all: they mostly say the same of each page."""
    return UnreadableFile(INVALID_FILE, " ".join(["No text was found in the file.", *warnings[:1]]))


def no_recognition() -> UnreadableFile:
    return UnreadableFile(
        UNSUPPORTED_FILE,
        "Its text is in images, and no language for recognising it (OCR) is installed here. "
        "Ask the operator to install one, such as Debian's tesseract-ocr-eng.",
    )


def of_status(status: int | None) -> UnreadableFile:
    """What the exit status of a process that parsed means (negative: the signal that ended it)."""
    if status in _OUT_OF_TIME:
        return too_slow()
    if status == _OUT_OF_MEMORY:
        return too_much_memory()
    return UnreadableFile(INVALID_FILE, "The file is damaged: the parser fails on it.")
