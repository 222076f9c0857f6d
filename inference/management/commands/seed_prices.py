"""`manage.py seed_prices`: list prices, and what the platform pays, from the prices that providers publish."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from inference.price_seeding import seed_prices
from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand


def _percent(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ArgumentTypeError(f"'{text}' is no number") from error
    if not value.is_finite() or not -100 <= value <= 10_000:
        raise ArgumentTypeError("from -100 to 10000")
    return value


class Command(OperatorCommand):
    """See the module's docstring."""

    help = (
        "Add list prices in USD, and what the platform pays, from the data of genai-prices that is installed; from now on. "
        "What has not changed is left alone, and so is a list price that somebody set."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Of which models."""
        super().add_arguments(parser)
        parser.add_argument(
            "--model", action="append", default=[], help="the catalogue's name, again for each; else all"
        )
        parser.add_argument("--markup", type=_percent, default=Decimal(0), help="per cent that the list takes on top")
        parser.add_argument("--replace", action="store_true", help="list prices that somebody set too")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Seed them."""
        done = seed_prices(
            models=options["model"],
            by=COMMAND_LINE,
            now=datetime.now(UTC),
            markup=options["markup"],
            replace=options["replace"],
        )
        return {
            "added": done.added,
            "unchanged": done.unchanged,
            "kept": done.kept,
            "unknown": done.unknown,
            "higher for longer prompts": done.longer,
        }
