"""What the operator's commands share: `--json`, one line where they fail, and exit status 1."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .errors import AtriumError


class OperatorCommand(BaseCommand):
    """A command that makes one domain call, `run`, and prints what it returns as lines or as one JSON object."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--json`; subclasses add theirs."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print, or say in one line why not."""
        try:
            said = self.run(options)
        except AtriumError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(said))
        else:
            for name, value in said.items():
                self.stdout.write(f"{name}: {value}")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """The domain call; what it returns is printed."""
        raise NotImplementedError
