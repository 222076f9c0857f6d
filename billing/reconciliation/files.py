"""FOCUS files as they come: CSV, CSV in gzip, or Parquet, read row by row in little memory.

Columns are found by name, in any order and case (Athena lowers it); those that are not asked for are not read.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tenants.errors import InvalidRequest

#: What must be there; of `_EITHER` one of each pair.
_NEEDED = ("ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "BillingCurrency", "ServiceName")
_EITHER = (("EffectiveCost", "BilledCost"), ("ConsumedQuantity", "PricingQuantity"))
#: What is read beside them where it is there. `x_UsageType` is AWS's.
_WELCOME = ("ConsumedUnit", "PricingUnit", "SkuId", "SkuMeter", "x_UsageType", "ChargeDescription")
_BATCH_ROWS = 10_000
_PIECE = 1_000_000

Row = dict[str, Any]


class NoBill(InvalidRequest):
    """The file is no FOCUS file that can be read, or some of its rows make no sense: nothing of it was imported."""

    code = "invalid_bill"


def read_rows(content: BinaryIO) -> Iterator[tuple[int, Row]]:
    """(line, row) of a file; the line as an editor counts it in CSV, the number of the row in Parquet.

    Raises:
        NoBill: it is neither CSV nor Parquet, or columns are missing.
    """
    beginning = content.read(4)
    content.seek(0)
    try:
        if beginning == b"PAR1":
            yield from _parquet(content)
        elif beginning[:2] == b"\x1f\x8b":
            with gzip.open(content) as unpacked:
                yield from _csv(unpacked)
        else:
            yield from _csv(content)
    except (UnicodeDecodeError, csv.Error, pa.ArrowException, gzip.BadGzipFile, EOFError) as error:
        raise NoBill(f"The file cannot be read as CSV or Parquet: {str(error)[:200]}.", param="file") from error


def _csv(content: Any) -> Iterator[tuple[int, Row]]:
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    # In pieces: a packed file can hold a line of any length, which csv then refuses for its longest cell.
    rows = csv.reader(iter(lambda: text.readline(_PIECE), ""))
    names = _wanted(next(rows, []))
    width = max(names.values()) + 1
    for cells in rows:
        if cells:  # an empty line is none
            short = len(cells) < width
            yield rows.line_num, {} if short else {name: cells[place] for name, place in names.items()}


def _parquet(content: BinaryIO) -> Iterator[tuple[int, Row]]:
    file = pq.ParquetFile(content)
    found = file.schema_arrow.names
    names = _wanted(found)
    columns = [found[place] for place in names.values()]
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
        for row in batch.rename_columns(_ordered(batch.schema.names, columns, list(names))).to_pylist():
            number += 1
            yield number, row


def _ordered(present: list[str], columns: list[str], names: list[str]) -> list[str]:
    """Our names, in the order in which the file has the columns."""
    ours = dict(zip(columns, names, strict=True))
    return [ours[name] for name in present]


def _wanted(header: list[str]) -> dict[str, int]:
    """Name of a column → where it stands."""
    places = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
    either = [name for pair in _EITHER for name in pair]
    missing = [name for name in _NEEDED if name.lower() not in places]
    missing += [" or ".join(pair) for pair in _EITHER if not any(name.lower() in places for name in pair)]
    if missing:
        raise NoBill(f"This is no FOCUS file: it lacks {', '.join(missing)}.", param="file")
    return {name: places[name.lower()] for name in (*_NEEDED, *either, *_WELCOME) if name.lower() in places}
