"""Workbooks (XLSX, ODS) by calamine, row by row; in a step only (see `steps`).

xberg reads them too, but takes 665 MB for a million cells where this takes a fifth.
"""

import datetime
import html
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError

from . import archives, failures
from .content import escaped
from .tables import joined_within, spelled

_TITLE = re.compile(rb"<dc:title>([^<]{1,1000})</dc:title>")
_PROPERTIES = ("docProps/core.xml", "meta.xml")
_SAMPLE_BYTES = 65_536


def read(data: bytes, *, max_characters: int) -> dict[str, Any]:
    """{"title", "text"}: each sheet below its name, a line for each row. Raises UnreadableFile."""
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        lines = joined_within(_lines(workbook), max_characters)
    except PasswordError as error:
        raise failures.encrypted() from error
    except CalamineError as error:
        raise failures.corrupt() from error
    return {"title": _title(data), "text": lines}


def _lines(workbook: CalamineWorkbook) -> Iterator[str]:
    for name in workbook.sheet_names:
        sheet: CalamineSheet = workbook.get_sheet_by_name(name)
        rows = (_cells(row) for row in sheet.iter_rows())
        if first := next(written := spelled(rows), None):
            yield f"## {' '.join(name.split())}\n"
            yield escaped(first)
            yield from map(escaped, written)
            yield ""


def _cells(row: Sequence[Any]) -> list[str]:
    return [cell if isinstance(cell, str) else _shown(cell) for cell in row]


def _shown(value: Any) -> str:
    """As a person would write it: 4 for 4.0, no digits that only binary fractions have, ISO dates."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return str(value)


def _title(data: bytes) -> str | None:
    names = archives.names(data)
    for name in _PROPERTIES:
        found = _TITLE.search(archives.beginning(data, name, _SAMPLE_BYTES)) if name in names else None
        if found:
            return html.unescape(found[1].decode(errors="replace"))
    return None
