"""A statement for those who read it: the object of the REST API, and a table as CSV."""

from collections.abc import Iterable, Iterator
from typing import Any

from tenants.ids import public_id

from ..exports.cells import csv_lines
from ..models import CreditNote, Statement, StatementLine
from ..reservations import plain
from . import closing, credits
from .lines import Draft, Line, Totals, totals_of
from .months import following, format_month, start_of

_HEADER = [
    "month", "status", "kind", "model", "meter", "quantity", "included", "overage", "unit_price", "per", "cost",
    "list_cost", "currency", "corrected_month", "reason",
]  # fmt: skip


def statement_json(statement: Statement, lines: Iterable[StatementLine] | None = None) -> dict[str, Any]:
    """A closed month; with its lines where they are given."""
    totals = Totals(statement.usage, statement.corrections, statement.credits)
    shaped = {
        "id": public_id(closing.PREFIX, statement.id),
        **_head(statement.period_start, statement.currency, totals),
        "status": "closed",
        "closed_at": int(statement.closed_at.timestamp()),
        "closed_by": statement.closed_by_type,
    }
    return shaped if lines is None else {**shaped, "lines": [_line_json(line) for line in lines]}


def draft_json(found: Draft) -> dict[str, Any]:
    """A month that is open, as far as it has come."""
    head = _head(found.month, found.currency, found.totals)
    open_state = {"id": None, "status": "open", "closed_at": None, "closed_by": None}
    return {**head, **open_state, "lines": [_line_json(line) for line in found.lines]}


def _head(month: Any, currency: str, totals: Totals) -> dict[str, Any]:
    return {
        "object": "statement",
        "month": format_month(month),
        "period_start": int(start_of(month).timestamp()),
        "period_end": int(start_of(following(month)).timestamp()),
        "currency": currency,
        "usage": plain(totals.usage),
        "corrections": plain(totals.corrections),
        "credits": plain(totals.credits),
        "total": plain(totals.total),
        "taxes": "excluded",
    }


def _line_json(line: StatementLine | Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "model": line.model,
        "meter": line.meter,
        "quantity": line.quantity,
        "included": line.included,
        "overage": line.quantity - line.included,
        "unit_price": None if line.unit_price is None else plain(line.unit_price),
        "per": line.per,
        "cost": plain(line.cost),
        "list_cost": None if line.list_cost is None else plain(line.list_cost),
        "corrected_month": None if line.corrected_month is None else format_month(line.corrected_month),
        "reason": line.reason or None,
    }


def statement_csv(month: Any, currency: str, status: str, lines: Iterable[StatementLine | Line]) -> Iterator[str]:
    """The lines, and under them a row for each sum and the total: exactly the sum of the costs above."""
    yield from csv_lines(_rows(format_month(month), currency, status, list(lines)))


def _rows(month: str, currency: str, status: str, lines: list[StatementLine | Line]) -> Iterator[list[Any]]:
    yield _HEADER
    for line in lines:
        corrected = "" if line.corrected_month is None else format_month(line.corrected_month)
        yield [
            month, status, line.kind, line.model, line.meter, line.quantity, line.included,
            line.quantity - line.included, line.unit_price, line.per, line.cost, line.list_cost, currency, corrected,
            line.reason,
        ]  # fmt: skip
    totals = totals_of(lines)
    sums = {"usage": totals.usage, "corrections": totals.corrections, "credits": totals.credits, "total": totals.total}
    for name, amount in sums.items():
        yield [month, status, f"sum of {name}" if name != "total" else name, *[""] * 7, amount, "", currency, "", ""]


def credit_note_json(note: CreditNote) -> dict[str, Any]:
    """A credit note."""
    return {
        "id": public_id(credits.PREFIX, note.id),
        "object": "credit_note",
        "statement_id": None if note.statement_id is None else public_id(closing.PREFIX, note.statement_id),
        "record_id": None if note.record_id is None else str(note.record_id),
        "amount": plain(note.amount),
        "currency": note.currency,
        "reason": note.reason,
        "month": format_month(note.period_start),
        "created_by": note.created_by_type,
        "created_at": int(note.created_at.timestamp()),
    }
