"""`manage.py import_prices`: a CSV file of prices into the price books, all of it or nothing."""

import sys
from argparse import ArgumentParser
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from billing.prices.books import add_prices
from billing.prices.files import COLUMNS, read_prices
from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand
from tenants.errors import InvalidRequest


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Add the prices of a CSV file, all or none. Prices are never changed: a new one begins later."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which file."""
        super().add_arguments(parser)
        parser.add_argument(
            "--file", required=True, help=f"CSV with the columns {', '.join(COLUMNS)}; - is standard input"
        )  # fmt: skip

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Add them."""
        with _opened(options["file"]) as lines:
            rows = read_prices(lines)
        made = add_prices(rows=rows, by=COMMAND_LINE, now=datetime.now(UTC))
        return {"added": len(made)}


def _opened(name: str) -> Any:
    """The file's lines.

    Raises:
        InvalidRequest: it cannot be read.
    """
    if name == "-":
        return nullcontext(sys.stdin)
    try:
        return Path(name).open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InvalidRequest(f"{name}: {error.strerror}.") from error
