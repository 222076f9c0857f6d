"""Real files made by hand, as small as their formats allow."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence

_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_FORMATS = "application/vnd.openxmlformats-officedocument"
_PACKAGE_TYPE = "application/vnd.openxmlformats-package.relationships+xml"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SLIDE = "http://schemas.openxmlformats.org/presentationml/2006/main"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"


def pdf(pages: Sequence[str], *, trailer: str = "") -> bytes:
    """A PDF 1.4 (ISO 32000-1) of one line of Helvetica a page; `trailer` is added to the trailer dictionary."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, text in enumerate(pages):
        shown = text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (5 + 2 * index)
        )
        objects.append(pdf_stream(b"BT /F1 12 Tf 72 720 Td (" + shown + b") Tj ET"))
    return assembled(objects, trailer)


def pdf_stream(content: bytes, filters: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), filters, content)


def pdf_with_stream(stream: bytes) -> bytes:
    """A PDF of one page whose content stream is `stream` (see `pdf_stream`)."""
    return assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents 5 0 R >>",
            stream,
        ],
        "",
    )


def assembled(objects: Sequence[bytes], trailer: str) -> bytes:
    """A PDF of `objects`, numbered from 1, the catalogue first."""
    file, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    end = f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{len(file)}\n%%EOF\n"
    return file + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end.encode()


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def edited(archive: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same archive with its member `name` changed."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        parts = {member: source.read(member) for member in source.namelist()}
    return zipped(parts | {name: change(parts[name])})


def docx(paragraphs: Sequence[tuple[str, str | None]]) -> bytes:
    """A Word file of (text, style) paragraphs, e.g. ("Title", "Heading1")."""
    body = "".join(
        "<w:p>"
        + (f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else "")
        + f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        for text, style in paragraphs
    )
    return docx_of(f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>')


def docx_of(document: str, prologue: str = "") -> bytes:
    """A Word file of the XML element `document`, `prologue` (a DOCTYPE) before it."""
    main = f"{_FORMATS}.wordprocessingml.document.main+xml"
    return zipped(_package("word/document.xml", main) | {"word/document.xml": prologue + document})


def laughing_docx() -> bytes:
    """The billion laughs: nested entities that expand to 20^8 strings."""
    entities = "".join(f'<!ENTITY e{level + 1} "{f"&e{level};" * 20}">' for level in range(8))
    body = f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>&e8;</w:t></w:r></w:p></w:body></w:document>'
    return docx_of(body, f'<!DOCTYPE d [<!ENTITY e0 "laugh">{entities}]>')


def xlsx(rows: Sequence[Sequence[str]]) -> bytes:
    cells = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in row) + "</row>" for row in rows
    )
    return zipped(
        _package("xl/workbook.xml", f"{_FORMATS}.spreadsheetml.sheet.main+xml")
        | {
            "xl/workbook.xml": f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}"><sheets>'
            '<sheet name="Prices" sheetId="1" r:id="rId1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relationship("worksheet", "worksheets/sheet1.xml"),
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEET}"><sheetData>{cells}</sheetData></worksheet>',
        }
    )


def pptx(text: str) -> bytes:
    return zipped(
        _package("ppt/presentation.xml", f"{_FORMATS}.presentationml.presentation.main+xml")
        | {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="{_SLIDE}" xmlns:r="{_OFFICE}"><p:sldIdLst>'
            '<p:sldId id="256" r:id="rId1"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": _relationship("slide", "slides/slide1.xml"),
            "ppt/slides/slide1.xml": f'<p:sld xmlns:p="{_SLIDE}" xmlns:a="{_DRAWING}"><p:cSld><p:spTree><p:sp><p:txBody>'
            f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>",
        }
    )


def _package(main: str, content_type: str) -> dict[str, str | bytes]:
    return {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType="{_PACKAGE_TYPE}"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{main}" ContentType="{content_type}"/></Types>',
        "_rels/.rels": _relationship("officeDocument", main),
    }


def _relationship(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{_RELATIONSHIPS}">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/{kind}" Target="{target}"/></Relationships>'
    )
