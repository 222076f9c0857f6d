"""A price book as a CSV file: every line is a price, all are added or none."""

import csv
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tenants.errors import InvalidRequest
from tenants.registry import require_tenant

from .books import LIST, Book, NewPrice

COLUMNS = ("book", "model", "meter", "amount", "currency", "per", "valid_from", "tiers", "source")
_NEEDED = ("model", "meter", "amount")


def read_prices(lines: Iterable[str]) -> list[NewPrice]:
    """The prices of a CSV file with a header of `COLUMNS`, in any order; model, meter and amount must be there.

    `book` is `list` (where it says nothing), `plan:<slug>`, `tenant:<slug>`, `provider` or `provider:<name>`; `valid_from`
    an ISO 8601 moment with its offset; `tiers` as in `1000000=0.0015;5000000=0.001`: units, and what `per` cost beyond.

    Raises:
        InvalidRequest: naming the line at fault.
        NotFound: no such tenant.
    """
    rows = csv.DictReader(lines)
    named = rows.fieldnames or ()
    if wrong := [name for name in named if name not in COLUMNS] or [name for name in _NEEDED if name not in named]:
        raise InvalidRequest(f"The file's columns are {', '.join(COLUMNS)}; see {', '.join(map(str, wrong))}.")
    found = [_price(row, rows.line_num) for row in rows]
    if not found:
        raise InvalidRequest("The file has no prices.")
    return found


def _price(row: dict[Any, Any], line: int) -> NewPrice:
    if None in row or None in row.values():
        raise InvalidRequest(f"Line {line}: it has another number of cells than the header.")
    cells = {name: cell.strip() for name, cell in row.items()}

    def read(name: str, parse: Callable[[str], Any], missing: Any = None) -> Any:
        if not (text := cells.get(name)):
            return missing
        try:
            return parse(text)
        except (ValueError, InvalidOperation) as error:
            raise InvalidRequest(f"Line {line}: '{text}' is no {name}.", param=name) from error

    if not cells["amount"]:
        raise InvalidRequest(f"Line {line}: no amount.", param="amount")
    return NewPrice(
        book=read("book", _book, LIST),
        model=cells["model"],
        meter=cells["meter"],
        amount=read("amount", Decimal),
        currency=read("currency", str),
        per=read("per", int, 1_000_000),
        valid_from=read("valid_from", datetime.fromisoformat),
        tiers=read("tiers", _tiers, ()),
        source=cells.get("source", ""),
    )


def _book(text: str) -> Book:
    kind, _, name = text.partition(":")
    if kind == "provider":
        return Book(provider=name)
    if kind == "plan" and name:
        return Book(plan=name)
    if kind == "tenant" and name:
        return Book(tenant_id=require_tenant(name))
    if text != "list":
        raise ValueError
    return LIST


def _tiers(text: str) -> list[list[Any]]:
    pairs = [tier.split("=") for tier in text.split(";")]
    return [[int(units), amount.strip()] for units, amount in pairs]
