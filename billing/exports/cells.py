"""Rows as CSV, line by line. Text that a spreadsheet would run as a formula is neutralised."""

import csv
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from tenants.formulas import FORMULA, neutralised

from ..reports import MonthLine
from ..reservations import plain

__all__ = ["FORMULA", "csv_lines", "month_csv", "neutralised"]

_HEADER = ["tenant", "model", "meter", "quantity", "cost", "currency"]


class _Line:
    """What csv writes to: `write` gives the line back."""

    def write(self, text: str) -> str:
        return text


def csv_lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """RFC 4180 lines; texts are neutralised, numbers are not, amounts keep every digit."""
    writer = csv.writer(_Line())
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> Any:
    match value:
        case str():
            return neutralised(value)
        case Decimal():
            return plain(value)
        case _:
            return value


def month_csv(lines: Iterable[MonthLine]) -> Iterator[str]:
    """A month's lines and, for each currency, a row of totals that is the exact sum of the rows above it."""
    return csv_lines(_month_rows(lines))


def _month_rows(lines: Iterable[MonthLine]) -> Iterator[list[Any]]:
    yield _HEADER
    totals: dict[str, tuple[int, Decimal]] = {}
    for line in lines:
        quantity, cost = totals.get(line.currency, (0, Decimal(0)))
        totals[line.currency] = (quantity + line.quantity, cost + line.cost)
        yield [line.tenant, line.model, line.meter, line.quantity, line.cost, line.currency]
    for currency, (quantity, cost) in sorted(totals.items()):
        yield ["total", "", "", quantity, cost, currency]
