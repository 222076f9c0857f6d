"""`manage.py grant_model`: let a tenant use a model of the catalogue."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.catalogue import grant
from tenants.audit import COMMAND_LINE
from tenants.errors import AtriumError
from tenants.registry import require_tenant
from tenants.scope import acting_for


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Grant a model to a tenant under an alias; a model without a price is refused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who, what, under which name."""
        parser.add_argument("--tenant", required=True, help="slug")
        parser.add_argument("--model", required=True, help="the catalogue's name")
        parser.add_argument("--alias", help="what the tenant's apps ask for; by default the model's name")
        parser.add_argument("--max-output-tokens", type=int)
        parser.add_argument("--no-fallbacks", action="store_true", help="no other model may answer instead")
        parser.add_argument("--min-temperature", type=float)
        parser.add_argument("--max-temperature", type=float)
        parser.add_argument(
            "--tool", action="append", help="a function that may be offered, or file_search; again for each"
        )
        parser.add_argument("--no-tools", action="store_true")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Grant, or say in one line why not."""
        alias = options["alias"] or options["model"]
        try:
            with acting_for(require_tenant(options["tenant"])):
                row = grant(
                    alias=alias,
                    model_name=options["model"],
                    by=COMMAND_LINE,
                    max_output_tokens=options["max_output_tokens"],
                    bounds={
                        "fallbacks": not options["no_fallbacks"],
                        "min_temperature": options["min_temperature"],
                        "max_temperature": options["max_temperature"],
                        "allowed_tools": [] if options["no_tools"] else options["tool"],
                    },
                )
        except AtriumError as error:
            raise CommandError(error.message) from error
        said = {"id": str(row.id), "alias": alias, "model": options["model"]}
        self.stdout.write(json.dumps(said) if options["json"] else f"granted {options['model']} as {alias}")
