"""`manage.py set_budget`: a limit on what a tenant spends, created or changed."""

from argparse import ArgumentParser, ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.amounts import plain
from billing.budgets.setting import set_budget
from billing.models import Budget
from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand
from tenants.registry import require_tenant
from tenants.scope import acting_for


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ArgumentTypeError(f"'{text}' is not an amount") from error


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name.strip(), value.strip()


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Set a tenant's budget."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, and how much."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", required=True, help="a slug")
        parser.add_argument("--limit", required=True, type=_amount, help="per period, in the tenant's currency")
        parser.add_argument("--period", choices=Budget.Period.values, default=Budget.Period.MONTH)
        parser.add_argument("--tag", type=_tag, metavar="NAME=VALUE", help="only calls with this allocation tag")
        parser.add_argument("--soft", action="store_true", help="warn only: calls beyond it are not refused")
        parser.add_argument("--name", default="monthly")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Set it."""
        with acting_for(require_tenant(options["tenant"])):
            budget = set_budget(
                name=options["name"],
                limit=options["limit"],
                period=options["period"],
                tag=options["tag"],
                hard=not options["soft"],
                by=COMMAND_LINE,
            )
        return {
            "id": str(budget.id),
            "tenant": options["tenant"],
            "name": budget.name,
            "limit": plain(budget.limit),
            "currency": budget.currency,
        }
