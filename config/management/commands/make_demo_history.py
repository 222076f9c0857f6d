"""`manage.py make_demo_history`: a month of made-up calls for a tenant of the demo."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.demo.history import make_history
from tenants.errors import AtriumError


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Fill a tenant with 31 days of made-up calls, marked as such. For demos: its ledger is append-only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose."""
        parser.add_argument("--tenant", required=True, help="its slug")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, and say how many calls there are now."""
        try:
            calls = make_history(slug=options["tenant"], now=datetime.now(UTC))
        except AtriumError as error:
            raise CommandError(error.message) from error
        self.stdout.write(json.dumps({"calls": calls}) if options["json"] else f"{calls} calls")
