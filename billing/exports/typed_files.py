"""Files with typed columns: Parquet and XLSX, written from the CSV that PostgreSQL copies out."""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import xlsxwriter

from tenants.errors import InvalidRequest

from .columns import Column, Type

#: A sheet's most rows, its heading among them.
_SHEET_ROWS = 1_048_576
_ROW_GROUP = 100_000


class TooManyRows(InvalidRequest):
    """A workbook cannot hold them: another format can."""

    code = "too_many_rows"


_ARROW = {
    Type.COUNT: pa.int64(),
    Type.TIME: pa.timestamp("us", tz="UTC"),
    Type.DAY: pa.date32(),
    Type.FLAG: pa.bool_(),
    Type.TEXT: pa.string(),
    Type.CODE: pa.string(),
}


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The types of the columns."""
    return pa.schema(
        [(one.name, pa.decimal128(38, one.scale) if one.type == Type.DECIMAL else _ARROW[one.type]) for one in columns]
    )


class ParquetFile:
    """Typed columns, compressed with Zstandard; decimals are exact."""

    def __init__(self, columns: Sequence[Column], to: BinaryIO) -> None:
        self._schema = schema_of(columns)
        self._writer = pyarrow.parquet.ParquetWriter(to, self._schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []

    def add(self, blocks: Iterable[bytes]) -> None:
        """In groups of rows that are worth their heads."""
        for batch in batches(blocks, self._schema):
            self._held.append(batch)
            if sum(map(len, self._held)) >= _ROW_GROUP:
                self._flush()

    def close(self) -> None:
        """The last group, and the file's foot."""
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """As it stands."""
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held))
            self._held = []


class XlsxFile:
    """A workbook whose numbers can be added up, with Excel's 15 digits; the exact sums stand in the report's totals."""

    def __init__(self, columns: Sequence[Column], to: BinaryIO, *, scratch: str) -> None:
        self._columns, self._schema = columns, schema_of(columns)
        # Rows go to a file of their own as they come; nothing is guessed to be a formula, a number or a link.
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(to, {**options, "tmpdir": scratch})
        heading = self._book.add_format({"bold": True})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._sheet, self._row = self._book.add_worksheet(), 0
        for place, column in enumerate(columns):
            self._sheet.write_string(0, place, column.name, heading)

    def add(self, blocks: Iterable[bytes]) -> None:
        """Row by row; a report that needs more rows than there are in a sheet is better read by something else."""
        for batch in batches(blocks, self._schema):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                self._row += 1
                if self._row == _SHEET_ROWS:
                    most = f"A workbook holds at most {_SHEET_ROWS - 1:,} rows. Ask for 'csv' or 'parquet'."
                    raise TooManyRows(most, param="format")
                for place, value in enumerate(values):
                    self._write(place, value)

    def _write(self, place: int, value: Any) -> None:
        match value:
            case None:
                return
            case bool():
                left = self._sheet.write_boolean(self._row, place, value)
            case int() | Decimal():
                left = self._sheet.write_number(self._row, place, value)
            case datetime():
                left = self._sheet.write_datetime(self._row, place, value.replace(tzinfo=None), self._time)
            case date():
                left = self._sheet.write_datetime(self._row, place, value, self._day)
            case _:
                left = self._sheet.write_string(self._row, place, value)
        if left:
            raise RuntimeError(f"a cell of '{self._columns[place].name}' cannot be written: {left}")

    def close(self) -> None:
        """Put the workbook together."""
        self._book.close()

    def abandon(self) -> None:
        """The rows' own file, which a workbook closes when it is put together."""
        self._sheet.row_data_fh.close()


class _Stream(io.RawIOBase):
    """Blocks as a readable file."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks, self._rest = iter(blocks), b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._rest:
            self._rest = next(self._blocks, b"")
        size = min(len(into), len(self._rest))
        into[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def batches(blocks: Iterable[bytes], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """CSV without a header as typed rows; an empty cell is null, an empty text in quotes is a text."""
    stream = iter(blocks)
    first = next(stream, None)
    if first is None:
        return
    with pyarrow.csv.open_csv(
        io.BufferedReader(_Stream(chain([first], stream)), 1 << 20),
        read_options=pyarrow.csv.ReadOptions(column_names=schema.names, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ) as reader:
        yield from reader
