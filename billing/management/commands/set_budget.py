"""`manage.py set_budget`: a tenant's hard limit per calendar month, created or changed."""

from argparse import ArgumentParser, ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.amounts import plain
from billing.budgets.setting import set_budget
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

    help = "Set a tenant's budget."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, and how much."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", required=True, help="a slug")
        parser.add_argument("--limit", required=True, type=_amount, help="per month, in the tenant's currency")
        parser.add_argument("--name", default="monthly")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Set it."""
        with acting_for(require_tenant(options["tenant"])):
            budget = set_budget(name=options["name"], limit=options["limit"], by=COMMAND_LINE)
        return {
            "id": str(budget.id),
            "tenant": options["tenant"],
            "name": budget.name,
            "limit": plain(budget.limit),
            "currency": budget.currency,
        }
