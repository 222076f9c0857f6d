"""`manage.py set_own_account_price`: what the platform charges for calls that a tenant's own account serves."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from inference.own_deployments import set_own_price
from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand
from tenants.registry import require_tenant
from tenants.scope import acting_for


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ArgumentTypeError(f"'{text}' is not an amount") from error


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Set the price of a model's meter where a tenant's own account serves it; without one the usual price holds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, of what, how much."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", required=True, help="a slug")
        parser.add_argument("--model", required=True, help="the catalogue's name")
        parser.add_argument("--meter", required=True, help="input_tokens or output_tokens")
        parser.add_argument("--amount", required=True, type=_amount, help="per million units; 0 is a price too")
        parser.add_argument("--currency", default="USD")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Set it, from now on."""
        with acting_for(require_tenant(options["tenant"])):
            row = set_own_price(
                model=options["model"],
                meter=options["meter"],
                amount=options["amount"],
                currency=options["currency"],
                by=COMMAND_LINE,
                now=datetime.now(UTC),
            )
        return {"id": str(row.id), "model": row.model, "meter": row.meter, "amount": str(row.amount)}
