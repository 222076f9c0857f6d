"""A file's text: read once, whole or by parts, and kept; see `models.Document`."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db import connection

from billing.limits.quotas import require_in_month, take_from_month
from billing.models import Limit
from tenants.ids import uuid7
from tenants.scope import tenant_scope

from ..models import Document, IngestionPart
from ..parsing import failures
from ..parsing.documents import Inspection, PageSpan, ParsedDocument
from ..parsing.reading import inspect
from .preparing import AS_READ, preparation_of, prepare
from .units import Job

_READ_AT_ONCE = 150  # pages of text: a longer file is read in parts
_PAGES_OF_A_PART = 100
_SCANS_OF_A_PART = 4  # recognising one takes a second or more
# Kinds of which `inspect` counts the pages: PDF and TIFF.
_PAGED = (b"%PDF-", b"II*\x00", b"MM\x00*")
_BETWEEN_PARTS = "\n\n"


_INSERT = """
INSERT INTO knowledge_document (
    tenant_id, id, file_id, preparation, text, pages, title, mime_type, ocr_pages, warnings)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (tenant_id, file_id, preparation) DO NOTHING
"""


@dataclass(frozen=True)
class Text:
    """A document as a store wants it, and what of it is still to be kept: preparation → document."""

    document: ParsedDocument
    unkept: dict[str, ParsedDocument]
    #: Of pages that were recognised for it just now, and count in the month when it is kept.
    recognised: int = 0


class BeingRead(Exception):
    """Another attachment of the same file is reading it in parts: wait for its text."""


class ReadOtherwise(Exception):
    """Another run kept another text of the same file meanwhile: start again from that one."""


def page_ranges(data: bytes, filename: str) -> list[tuple[int, int]]:
    """The parts in which to read a long file: (first page, last page), from 1; empty for one that is read at once.

    Raises:
        QuotaExceeded: it has more scanned pages than the month has left, so that none is recognised in vain.
    """
    if not data[:1024].lstrip().startswith(_PAGED):
        return []
    found = inspect(data, filename)
    scans = len(found.scanned or ())
    if scans:
        require_in_month(Limit.OCR_PAGES_PER_MONTH, scans)
    if not found.pages or (found.pages <= _READ_AT_ONCE and scans <= _SCANS_OF_A_PART):
        return []
    return list(_ranges(found, found.pages))


def _ranges(found: Inspection, pages: int) -> Iterator[tuple[int, int]]:
    first, scans = 1, 0
    for page in range(1, pages + 1):
        scans += page in (found.scanned or ())
        full = page - first + 1 == _PAGES_OF_A_PART or scans == _SCANS_OF_A_PART
        if full or page == pages:
            yield first, page
            first, scans = page + 1, 0


def stored(job: Job) -> Text | None:
    """The text as this job's store wants it, where any run has kept it; None where the file was not read yet."""
    if not job.has_document:
        return None
    wanted = preparation_of(job.store)
    with tenant_scope():
        rows = Document.objects.filter(file=job.file, preparation__in={AS_READ, wanted})
        found = {row.preparation: _parsed(row) for row in rows}
    if wanted in found:
        return Text(found[wanted], {})
    return _prepared(job, found[AS_READ], {}) if AS_READ in found else None


def just_read(job: Job, document: ParsedDocument) -> Text:
    """What the parser gave, prepared as this job's store wants it. For a store that has it prepared the text as it was
    read is not kept: what shall not enter the store does not lie beside it.
    """
    text = _prepared(job, document, {AS_READ: document} if preparation_of(job.store) == AS_READ else {})
    return replace(text, recognised=document.ocr_pages)


def _prepared(job: Job, document: ParsedDocument, unkept: dict[str, ParsedDocument]) -> Text:
    wanted = preparation_of(job.store)
    if wanted == AS_READ:
        return Text(document, unkept)
    prepared = prepare(document, job.store)
    return Text(prepared, {**unkept, wanted: prepared})


def keep(job: Job, text: Text) -> None:
    """Write what is not kept yet; inside a scope.

    Raises:
        ReadOtherwise: another run was first, and read something else.
        QuotaExceeded: it has more recognised pages than the month has left.
    """
    for preparation, document in text.unkept.items():
        pages = json.dumps([[page.number, page.start, page.end] for page in document.pages])
        values: list[Any] = [
            job.claim.tenant_id, uuid7(), job.file.id, preparation, document.text, pages, document.title,
            document.mime_type, document.ocr_pages, json.dumps(list(document.warnings)),
        ]  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, values)
            first = cursor.rowcount == 1
        if not first:
            _check_same(job, preparation, document)
        elif text.recognised:
            take_from_month(Limit.OCR_PAGES_PER_MONTH, text.recognised)
    text.unkept.clear()


def _check_same(job: Job, preparation: str, document: ParsedDocument) -> None:
    kept = Document.objects.filter(file=job.file, preparation=preparation).values_list("text", flat=True).first()
    if kept != document.text:
        raise ReadOtherwise


def _parsed(row: Document) -> ParsedDocument:
    return ParsedDocument(
        text=row.text,
        pages=tuple(PageSpan(*span) for span in row.pages),
        title=row.title,
        mime_type=row.mime_type,
        ocr_pages=row.ocr_pages,
        warnings=tuple(row.warnings),
    )


def result_of(document: ParsedDocument) -> dict[str, Any]:
    """A part that was read, as JSON."""
    return {**asdict(document), "pages": [[page.number, page.start, page.end] for page in document.pages]}


def assembled(job: Job) -> Text | None:
    """The text of a file that was read in parts, all of which are done; None where there are no such parts.

    Raises:
        UnreadableFile: no part has text; it says why, where a part knows.
    """
    if not job.has_parts:
        return None
    with tenant_scope():
        rows = IngestionPart.objects.filter(store_file=job.id, kind=IngestionPart.Kind.READ).order_by("number")
        results = [result for result in rows.values_list("result", flat=True) if result is not None]
    if not results:
        return None
    document = joined([_of_result(result) for result in results])
    if not document.text.strip():
        raise failures.no_text(document.warnings)
    return just_read(job, document)


def _of_result(result: dict[str, Any]) -> ParsedDocument:
    pages = tuple(PageSpan(*span) for span in result["pages"])
    return ParsedDocument(**{**result, "pages": pages, "warnings": tuple(result["warnings"])})


def joined(parts: Sequence[ParsedDocument]) -> ParsedDocument:
    """One document of several that follow each other; the first one's title and kind are the whole's."""
    pages: list[PageSpan] = []
    offset = 0
    for part in parts:
        pages += [PageSpan(page.number, page.start + offset, page.end + offset) for page in part.pages]
        offset += len(part.text) + len(_BETWEEN_PARTS)
    return ParsedDocument(
        text=_BETWEEN_PARTS.join(part.text for part in parts),
        pages=tuple(pages),
        title=next((part.title for part in parts if part.title), None),
        mime_type=parts[0].mime_type,
        ocr_pages=sum(part.ocr_pages for part in parts),
        warnings=tuple(warning for part in parts for warning in part.warnings),
    )
