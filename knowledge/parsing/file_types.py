"""What a file really is, decided by its content; the name only chooses between kinds of text.

Hostile input: everything here may run on a bomb, so it is called in the parser's child, under its limits.
"""

import io
import re
import struct
import zipfile
import zlib
from pathlib import PurePath

from .documents import INVALID_FILE, UNSUPPORTED_FILE, UnreadableFile

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
HTML = "text/html"
MARKDOWN = "text/markdown"
CSV = "text/csv"
PLAIN = "text/plain"

MAX_ARCHIVE_MEMBERS = 10_000
MAX_COMPRESSION_RATIO = 100  # real Office files stay below 30; OOXML bombs start near 1000
RATIO_MATTERS_FROM = 8 * 2**20  # a small repetitive sheet may well compress 200:1 and harm nobody

_OFFICE_MAIN_PARTS = {"word/document.xml": DOCX, "ppt/presentation.xml": PPTX, "xl/workbook.xml": XLSX}
_BINARY_SUFFIXES = {".pdf": "PDF", ".docx": "Word", ".pptx": "PowerPoint", ".xlsx": "Excel"}
_TEXT_SUFFIXES = {
    ".html": HTML, ".htm": HTML, ".xhtml": HTML, ".md": MARKDOWN, ".markdown": MARKDOWN, ".csv": CSV
}  # fmt: skip
_HTML_TAG = re.compile(rb"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MACH_O_MAGICS = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_ENCRYPTED_FLAG = 0x1
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def detect(data: bytes, filename: str) -> str:
    """MIME type of `data`, one of the constants above; raises UnreadableFile for everything else."""
    if not data.strip(b"\x00\t\n\r "):
        raise UnreadableFile(INVALID_FILE, "The file is empty.")
    if _is_program(data):
        raise UnreadableFile(UNSUPPORTED_FILE, "The file is a program, whatever its name says.")
    if b"%PDF-" in data[:1024]:
        return PDF
    if data.startswith(_OLE_MAGIC):
        raise _unreadable_ole(data)
    if data.startswith(b"PK"):
        return _office_type(data)
    return _text_type(data, filename)


def check_archive(data: bytes, *, max_unpacked_bytes: int) -> None:
    """Raise UnreadableFile if the zip `data` is encrypted, damaged or a bomb, by declared and actual sizes."""
    with _open_archive(data) as archive:
        members = archive.infolist()
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
        raise encrypted()
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_ARCHIVE_MEMBERS or _is_bomb(unpacked, len(data), max_unpacked_bytes):
        raise _bomb()
    # A bomb may understate its sizes, and overlapping members inflate the same bytes many times over.
    for member in members:
        max_unpacked_bytes -= _actual_size(data, member, max_unpacked_bytes)
        if max_unpacked_bytes < 0:
            raise _bomb()


def _is_program(data: bytes) -> bool:
    # "MZ" alone may begin a text; a DOS header has zero bytes, which no text has.
    windows = data.startswith(b"MZ") and b"\x00" in data[:64]
    return windows or data.startswith((b"\x7fELF", *_MACH_O_MAGICS))


def _unreadable_ole(data: bytes) -> UnreadableFile:
    if "EncryptedPackage".encode("utf-16-le") in data:
        return encrypted()
    return UnreadableFile(
        UNSUPPORTED_FILE, "Office files from before 2007 are not supported. Save it as DOCX, PPTX or XLSX."
    )


def _office_type(data: bytes) -> str:
    with _open_archive(data) as archive:
        names = set(archive.namelist())
    for part, mime_type in _OFFICE_MAIN_PARTS.items():
        if part in names:
            return mime_type
    raise UnreadableFile(
        UNSUPPORTED_FILE, "The file is an archive, not a document. Upload the documents in it one by one."
    )


def _open_archive(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise corrupt() from error


def _is_bomb(unpacked: int, packed: int, max_unpacked_bytes: int) -> bool:
    suspicious = unpacked > RATIO_MATTERS_FROM and unpacked > MAX_COMPRESSION_RATIO * packed
    return suspicious or unpacked > max_unpacked_bytes


def _actual_size(data: bytes, member: zipfile.ZipInfo, limit: int) -> int:
    """Bytes that `member` inflates to, counted no further than just beyond `limit`."""
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return member.file_size
    header = data[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size:
        raise corrupt()
    name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
    start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    return _inflated_size(memoryview(data)[start:], limit)


def _inflated_size(packed: memoryview, limit: int) -> int:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, offset, step = 0, 0, 64 * 1024
    try:
        while not inflater.eof and size <= limit:
            waiting = inflater.unconsumed_tail
            if not waiting:
                waiting = bytes(packed[offset : offset + step])
                offset += step
            if not waiting:
                break
            size += len(inflater.decompress(waiting, 2**20))
    except zlib.error as error:
        raise corrupt() from error
    return size


def _text_type(data: bytes, filename: str) -> str:
    suffix = PurePath(filename).suffix.lower()
    if suffix in _BINARY_SUFFIXES:
        raise UnreadableFile(INVALID_FILE, f"The file is damaged or not a {_BINARY_SUFFIXES[suffix]} file at all.")
    if not _is_text(data):
        raise UnreadableFile(
            UNSUPPORTED_FILE,
            "Files of this kind are not supported. Upload PDF, DOCX, PPTX, XLSX, HTML, Markdown, CSV or plain text.",
        )
    if suffix in _TEXT_SUFFIXES:
        return _TEXT_SUFFIXES[suffix]
    is_html = data.lstrip().startswith(b"<") and _HTML_TAG.search(data[:1024])
    return HTML if is_html else PLAIN


def _is_text(data: bytes) -> bool:
    sample = data[:65536]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True  # UTF-16 or UTF-32 by its byte order mark
    # Control characters other than white space, ESC (ISO-2022-JP) and form feed do not occur in any text encoding.
    control = sum(sample.count(bytes([code])) for code in (*range(1, 9), 11, *range(14, 27), *range(28, 32)))
    return sample.count(0) * 1000 <= len(sample) and control * 100 <= len(sample)


def encrypted() -> UnreadableFile:
    return UnreadableFile(INVALID_FILE, "The file is protected by a password. Remove the password and upload it again.")


def corrupt() -> UnreadableFile:
    return UnreadableFile(
        INVALID_FILE, "The file is damaged: it cannot be read. Open and save it again, then upload it."
    )


def _bomb() -> UnreadableFile:
    return UnreadableFile(
        INVALID_FILE, "The file unpacks to far more than it may (a zip bomb, or an archive too large)."
    )
