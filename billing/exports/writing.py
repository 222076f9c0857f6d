"""Files of each format, written as the ledger is read: what is held in memory does not grow with the rows."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Protocol

from django.conf import settings

from .cells import csv_lines
from .columns import Column
from .ledger import Layout
from .reading import Copied, Reader
from .wanted import Format, Kind, Wanted


@dataclass(frozen=True)
class Made:
    """A finished file: its rows, its size, its digest, and the exact costs of the lines behind it by currency."""

    rows: int
    bytes: int
    sha256: str
    totals: dict[str, Decimal] = field(default_factory=dict)


class RowFile(Protocol):
    """A file that takes the rows of one slice after the other."""

    def add(self, blocks: Iterable[bytes]) -> None:
        """A slice, as blocks of CSV that together are whole rows."""

    def close(self) -> None:
        """Write what was held back."""

    def abandon(self) -> None:
        """Let go of what is open; the file is not wanted any more."""


def write_file(
    wanted: Wanted, *, format: str, to: BinaryIO, told: Callable[[float], None] = lambda share: None
) -> Made:
    """Write what is wanted of the current tenant (of all, where that is `PLATFORM`) to an empty file.

    Args:
        to: can be read and sought too.
        told: hears which share is done, 0 to 1; what it raises ends the work.

    Raises:
        TooManyRows: for a workbook.
        NotStaff: this process cannot read all tenants.
    """
    with TemporaryDirectory(dir=scratch()) as beside:
        rows, totals = _fill(wanted, format, to, told, beside)
    size = to.seek(0, io.SEEK_END)
    to.seek(0)
    digest = hashlib.file_digest(to, "sha256").hexdigest()  # type: ignore[arg-type]  # a binary file is one
    to.seek(0)
    return Made(rows, size, digest, totals)


def _fill(
    wanted: Wanted, format: str, to: BinaryIO, told: Callable[[float], None], beside: str
) -> tuple[int, dict[str, Decimal]]:
    """The rows that were written, and the control totals of the lines behind them."""
    reader = Reader(wanted)
    layout = reader.layout()
    file = _file_of(format, layout, to, beside)
    rows, totals = 0, defaultdict[str, Decimal](Decimal)
    try:
        for part in reader.slices():
            with reader.copied(layout, part, neutral=format != Format.PARQUET) as copied:
                file.add(copied)
            _check_whole(wanted, copied)
            rows += copied.rows
            for currency, cost in copied.control.totals.items():
                totals[currency] += cost
            told(part.share)
    except BaseException:
        file.abandon()
        raise
    file.close()
    return rows, dict(totals)


def _file_of(format: str, layout: Layout, to: BinaryIO, beside: str) -> RowFile:
    if format == Format.CSV:
        return CsvFile(layout.columns, to)
    # Arrow and its kin take 80 MB, which only processes that write such files shall have.
    from . import typed_files

    if format == Format.PARQUET:
        return typed_files.ParquetFile(layout.columns, to)
    return typed_files.XlsxFile(layout.columns, to, scratch=beside)


def _check_whole(wanted: Wanted, copied: Copied) -> None:
    if wanted.kind == Kind.LEDGER and copied.rows != copied.control.lines:
        raise RuntimeError(f"{copied.rows} rows were copied of {copied.control.lines}")


class CsvFile:
    """RFC 4180, but for its line ends, which are line feeds; UTF-8."""

    def __init__(self, columns: Sequence[Column], to: BinaryIO) -> None:
        self._to = to
        to.write(next(csv_lines([[column.name for column in columns]])).rstrip("\r\n").encode() + b"\n")

    def add(self, blocks: Iterable[bytes]) -> None:
        """As they come."""
        self._to.writelines(blocks)

    def close(self) -> None:
        """Nothing is held back."""

    abandon = close


def scratch() -> Path:
    """Where files lie while they are made: on the disk of the data, for `/tmp` may be memory."""
    folder = settings.VAR / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
