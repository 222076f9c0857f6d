"""Hostile and absurd documents, made when asked for: each is to be refused in seconds, by a reason."""

import json
import struct
import zlib
from collections.abc import Callable
from email.message import EmailMessage

from tests.knowledge import office_files

_PNG = b"\x89PNG\r\n\x1a\n"
_LAUGHS = "".join(f'<!ENTITY e{level + 1} "{f"&e{level};" * 20}">' for level in range(8))
_DOCTYPE = f'<!DOCTYPE d [<!ENTITY e0 "laugh">{_LAUGHS}]>'


def _zip_bomb() -> bytes:
    return office_files.zipped({"word/document.xml": b" " * 60_000_000})


def _understated() -> bytes:
    """The directories claim that the large member unpacks to 1,000 bytes."""
    return _zip_bomb().replace((60_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))


def _nested_zips() -> bytes:
    """16 zips in each of 5 levels, 60 MB of text in each of the innermost: 60 TB."""
    packed = office_files.zipped({"a.txt": b"bomb " * 12_000_000})
    for _ in range(5):
        packed = office_files.zipped({f"{number}.zip": packed for number in range(16)})
    return packed


def _matryoshka() -> bytes:
    """One text in a hundred zips."""
    packed = office_files.zipped({"a.txt": "text"})
    for _ in range(100):
        packed = office_files.zipped({"a.zip": packed})
    return packed


def _laughing_workbook() -> bytes:
    rows = office_files.xlsx([["ship", "berth"], ["Anna", "&e8;"]])
    return office_files.edited(rows, "xl/worksheets/sheet1.xml", lambda sheet: _DOCTYPE.encode() + sheet)


def _quadratic_docx() -> bytes:
    """One long entity, thousands of times: no nesting that could be counted."""
    prologue = f'<!DOCTYPE d [<!ENTITY e "{"x" * 100_000}">]>'
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    text = "&e;" * 100_000
    body = f'<w:document xmlns:w="{word}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    return office_files.docx_of(body, prologue)


def _deep_docx() -> bytes:
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    deep = "<w:tbl><w:tr><w:tc>" * 100_000
    return office_files.docx_of(f'<w:document xmlns:w="{word}"><w:body>{deep}')


def _inflated_stream() -> bytes:
    content = b"BT /F1 12 Tf (" + b"A" * 200_000_000 + b") Tj ET"
    return office_files.pdf_with_stream(office_files.pdf_stream(zlib.compress(content), b"/Filter /FlateDecode"))


def _nested_streams() -> bytes:
    """A stream deflated twelve times over, a gigabyte inside."""
    packer = zlib.compressobj(9)
    content = b"".join(packer.compress(b" " * 2**20) for _ in range(1024)) + packer.flush()
    for _ in range(11):
        content = zlib.compress(content, 9)
    filters = b"/Filter [" + b" /FlateDecode" * 12 + b" ]"
    return office_files.pdf_with_stream(office_files.pdf_stream(content, filters))


def _hundred_thousand_pages() -> bytes:
    """One page, named 100,000 times."""
    return office_files.assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [" + b"4 0 R " * 100_000 + b"] /Count 100000 >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents 5 0 R >>",
            office_files.pdf_stream(b"BT /F1 12 Tf 72 720 Td (Again.) Tj ET"),
        ],
        "",
    )


def _page_tree_loop() -> bytes:
    """The pages' parent is their child."""
    return office_files.assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 9 >>",
            b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 9 >>",
        ],
        "",
    )


def _form_loop() -> bytes:
    """A drawing that draws itself, twice."""
    return office_files.assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /XObject << /X 4 0 R >> >> /Contents 5 0 R >>",
            office_files.pdf_stream(
                b"/X Do /X Do",
                b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << /XObject << /X 4 0 R >> >>",
            ),
            office_files.pdf_stream(b"/X Do"),
        ],
        "",
    )


def png(width: int, height: int) -> bytes:
    """A black image, deflated row by row."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return _PNG + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", rows) + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(entries: dict[int, int], *, following: int = 0) -> bytes:
    """A TIFF of one directory of numbers (tag to value), which names the next directory's offset."""
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + fields + struct.pack("<I", following) + bytes(64)


def _large_tiff() -> bytes:
    return tiff({256: 50_000, 257: 50_000, 258: 8, 259: 1, 262: 1, 273: 100, 277: 1, 278: 50_000, 279: 2_500_000_000})


def _looping_tiff() -> bytes:
    return tiff({256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 100, 277: 1, 278: 10, 279: 100}, following=8)


def _letters_in_letters() -> bytes:
    """A mail that attaches a mail, 100 deep, with nothing else in any."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", ""
    data = message.as_bytes()
    for level in range(100):
        head = b"From: a@example.com\r\nTo: b@example.com\r\nMIME-Version: 1.0\r\n"
        bound = b"b%d" % level
        data = (
            head + b'Content-Type: multipart/mixed; boundary="' + bound + b'"\r\n\r\n--' + bound
            + b"\r\nContent-Type: message/rfc822\r\n\r\n" + data + b"\r\n--" + bound + b"--\r\n"
        )  # fmt: skip
    return data


def _wide_workbook() -> bytes:
    """A million rows of one shared formula's worth of text in the last column."""
    rows = b"".join(
        b'<row r="%d"><c r="XFD%d" t="str"><v>x</v></c></row>' % (row, row) for row in range(1, 1_048_576, 7)
    )
    sheet = office_files.xlsx([["ship"]])
    return office_files.edited(
        sheet,
        "xl/worksheets/sheet1.xml",
        lambda old: old[: old.index(b"<sheetData>") + 11] + rows + b"</sheetData></worksheet>",
    )


#: Name of the file → what makes it. Each must be refused.
REFUSED: dict[str, Callable[[], bytes]] = {
    "declared.docx": _zip_bomb,
    "understated.docx": _understated,
    "nested.zip": _nested_zips,
    "matryoshka.zip": _matryoshka,
    "laughs.docx": office_files.laughing_docx,
    "quadratic.docx": _quadratic_docx,
    "deep.docx": _deep_docx,
    "laughs.svg": lambda: f'<?xml version="1.0"?>{_DOCTYPE}<svg xmlns="http://www.w3.org/2000/svg">&e8;</svg>'.encode(),
    "stream.pdf": _inflated_stream,
    "streams.pdf": _nested_streams,
    "pages.pdf": _hundred_thousand_pages,
    "tree.pdf": _page_tree_loop,
    "form.pdf": _form_loop,
    "deep.html": lambda: b"<html>" + b"<div>" * 300_000 + b"deep",
    "deep.json": lambda: b"[" * 1_000_000 + b"]" * 1_000_000,
    "digits.json": lambda: b"[" + b"9" * 1_000_000 + b"]",
    "deep.jsonl": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "large.png": lambda: png(50_000, 50_000),
    "large.tiff": _large_tiff,
    "loop.tiff": _looping_tiff,
    "columns.csv": lambda: (",".join(f"c{n}" for n in range(10**6)) + "\n" + ",".join("1" * 10**6) + "\n").encode() * 8,
    "long.txt": lambda: b"word " * 5_000_000,
}

#: Absurd but readable: they may be read or refused, in time and within memory.
ENDURED: dict[str, Callable[[], bytes]] = {
    "letters.eml": _letters_in_letters,
    "laughs.html": lambda: f"{_DOCTYPE}<html><body><p>ha &e8;</p></body></html>".encode(),
    "laughs.xlsx": _laughing_workbook,
    "wide.xlsx": _wide_workbook,
    "wide.csv": lambda: (",".join(f"c{n}" for n in range(10**6)) + "\n" + ",".join("1" * 10**6) + "\n").encode(),
    "nested.rtf": lambda: rb"{\rtf1 " + b"{\\b " * 200_000 + b"deep" + b"}" * 200_000 + b"}",
    "brackets.md": lambda: b"[" * 200_000 + b"](" * 100_000,
    "pipes.md": lambda: b"|" * 2_000_000 + b"\n" + b"|-" * 1_000_000 + b"|\n",
    "headings.md": lambda: b"# a\n" * 500_000,
    "one_line.json": lambda: json.dumps([{"n": n, "text": "x" * 100} for n in range(50_000)]).encode(),
    "invisible.txt": lambda: ("pass\u200bword \U0001f469\u200d\U0001f4bb \u202etxet\u202c " * 200_000).encode(),
    "letters.txt": lambda: "שלום العالم 🚢".encode() * 200_000,
}


def truncated(data: bytes) -> bytes:
    """The first nine tenths, as an interrupted upload leaves them."""
    return data[: len(data) * 9 // 10]


#: Those that cost seconds to make or to refuse: for the proof, not for the suite.
DEAR = {
    "stream.pdf", "streams.pdf", "pages.pdf", "form.pdf", "nested.zip", "large.png", "columns.csv", "declared.docx",
    "long.txt", "wide.csv", "wide.xlsx", "headings.md", "one_line.json",
}  # fmt: skip
