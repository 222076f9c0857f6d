"""`manage.py usage_report`: a month of the ledger for platform finance, all tenants or one, streamed as CSV."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.exports import month_csv
from billing.reports import month_lines
from tenants.errors import AtriumError
from tenants.registry import require_tenant


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise ArgumentTypeError(f"'{text}' is not a month like 2026-11") from error


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Print what tenants used and what it costs in a month: tenant, model, meter, quantity, cost, currency."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which month, whose."""
        parser.add_argument("--month", type=_month, required=True, help="such as 2026-11 (UTC)")
        parser.add_argument("--format", choices=["csv"], default="csv")
        parser.add_argument("--tenant", help="a slug; all tenants where missing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print line by line."""
        try:
            tenant_id = require_tenant(options["tenant"]) if options["tenant"] else None
        except AtriumError as error:
            raise CommandError(error.message) from error
        for line in month_csv(month_lines(month=options["month"], tenant_id=tenant_id)):
            self.stdout.write(line, ending="")
