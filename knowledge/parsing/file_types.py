"""What a file really is, decided by its content; the name only chooses between kinds of text.

Hostile input: everything here may run on a bomb, so it is called in the parser's child, under its limits.
"""

import re
from pathlib import PurePath

from . import archives, failures, text_encoding
from .documents import INVALID_FILE, UNSUPPORTED_FILE, UnreadableFile

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
RTF = "application/rtf"
ZIP = "application/zip"
EML = "message/rfc822"
PNG = "image/png"
JPEG = "image/jpeg"
TIFF = "image/tiff"
HTML = "text/html"
MARKDOWN = "text/markdown"
CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/json"
JSONL = "application/jsonl"
PLAIN = "text/plain"

IMAGES = {PNG, JPEG, TIFF}
PACKED = {DOCX, PPTX, XLSX, ODT, ODS, ZIP}

_OFFICE_MAIN_PARTS = {"word/document.xml": DOCX, "ppt/presentation.xml": PPTX, "xl/workbook.xml": XLSX}
_MAGICS = {
    b"{\\rtf": RTF, b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG, b"II*\x00": TIFF, b"MM\x00*": TIFF
}  # fmt: skip
_BINARY_SUFFIXES = {
    ".pdf": "PDF", ".docx": "Word", ".pptx": "PowerPoint", ".xlsx": "Excel", ".odt": "OpenDocument",
    ".ods": "OpenDocument", ".zip": "ZIP", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF",
    ".tiff": "TIFF",
}  # fmt: skip
_TEXT_SUFFIXES = {
    ".html": HTML, ".htm": HTML, ".xhtml": HTML, ".md": MARKDOWN, ".markdown": MARKDOWN, ".csv": CSV, ".tsv": TSV,
    ".json": JSON, ".jsonl": JSONL, ".ndjson": JSONL,
}  # fmt: skip
_HTML_TAG = re.compile(rb"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_SVG_TAG = re.compile(rb"<(?:!doctype\s+svg|svg)\b", re.IGNORECASE)
_MAIL_HEADER = re.compile(
    rb"^(from|to|cc|subject|date|message-id|mime-version|content-type|received|return-path|reply-to|delivered-to"
    rb"|x-[a-z-]+|dkim-signature|user-agent|sender):",
    re.IGNORECASE,
)
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MACH_O_MAGICS = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_SAMPLE_BYTES = 65_536


def detect(data: bytes, filename: str) -> str:
    """MIME type of `data`, one of the constants above; raises UnreadableFile for everything else."""
    if not data.strip(b"\x00\t\n\r "):
        raise UnreadableFile(INVALID_FILE, "The file is empty.")
    if _is_program(data):
        raise UnreadableFile(UNSUPPORTED_FILE, "The file is a program, whatever its name says.")
    for magic, mime_type in _MAGICS.items():
        if data.startswith(magic):
            return mime_type
    if data.startswith(b"PK"):
        return _packed_type(data)
    if data.startswith(_OLE_MAGIC):
        raise _unreadable_ole(data)
    if b"%PDF-" in data[:1024]:
        return PDF
    return _text_type(data, filename)


def _is_program(data: bytes) -> bool:
    # "MZ" alone may begin a text; a DOS header has zero bytes, which no text has.
    windows = data.startswith(b"MZ") and b"\x00" in data[:64]
    return windows or data.startswith((b"\x7fELF", *_MACH_O_MAGICS))


def _unreadable_ole(data: bytes) -> UnreadableFile:
    if "EncryptedPackage".encode("utf-16-le") in data:
        return failures.encrypted()
    return UnreadableFile(
        UNSUPPORTED_FILE, "Office files from before 2007 are not supported. Save it as DOCX, PPTX or XLSX."
    )


def _packed_type(data: bytes) -> str:
    """An office document says what it is by its parts (OOXML) or by its member `mimetype` (OpenDocument)."""
    names = archives.names(data)
    for part, mime_type in _OFFICE_MAIN_PARTS.items():
        if part in names:
            return mime_type
    if "mimetype" in names:
        declared = archives.beginning(data, "mimetype", 100).decode("ascii", "replace").strip()
        if declared in (ODT, ODS):
            return declared
        if declared.startswith("application/"):
            raise failures.unsupported()
    return ZIP


def _text_type(data: bytes, filename: str) -> str:
    suffix = PurePath(filename).suffix.lower()
    if suffix in _BINARY_SUFFIXES:
        raise UnreadableFile(INVALID_FILE, f"The file is damaged or not a {_BINARY_SUFFIXES[suffix]} file at all.")
    if not _is_text(data):
        raise failures.unsupported()
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<") and _HTML_TAG.search(start):
        return HTML
    if start.startswith(b"<") and _SVG_TAG.search(start):
        raise failures.unsupported()
    if suffix in _TEXT_SUFFIXES:
        return _TEXT_SUFFIXES[suffix]
    return EML if _is_mail(data[:_SAMPLE_BYTES], suffix) else PLAIN


def looks_like_json(data: bytes, filename: str) -> bool:
    """Whether text without a telling name begins as JSON does; only parsing it can tell for sure."""
    is_unnamed = PurePath(filename).suffix.lower() in ("", ".txt")
    return is_unnamed and data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def _is_mail(sample: bytes, suffix: str) -> bool:
    """A block of headers at the top: three that mail has, one where the name says that it is mail."""
    known = 0
    for line in sample.lstrip().splitlines():
        if not line.strip():
            break
        if line[:1] in b" \t":
            continue  # the header above goes on
        if not re.match(rb"[!-9;-~]+:", line) and not line.startswith((b"From ", b">From ")):
            return False
        known += bool(_MAIL_HEADER.match(line))
    return known >= (1 if suffix == ".eml" else 3)


def _is_text(data: bytes) -> bool:
    sample = data[:_SAMPLE_BYTES]
    if text_encoding.has_mark(sample) or text_encoding.bare_utf16(sample):
        return True
    # Control characters other than white space, ESC (ISO-2022-JP) and form feed do not occur in any text encoding.
    control = sum(sample.count(bytes([code])) for code in (*range(1, 9), 11, *range(14, 27), *range(28, 32)))
    return sample.count(0) * 1000 <= len(sample) and control * 100 <= len(sample)
