"""What the operator's commands share: `--json`, one line where they fail, and exit status 1."""

import json
import os
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .errors import AtriumError


class OperatorCommand(BaseCommand, ABC):
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

    @abstractmethod
    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """The domain call; what it returns is printed."""


def password_in(variable: str) -> str:
    """The password in an environment variable, so that it is in no process list or history.

    Raises:
        CommandError: there is none.
    """
    if not (password := os.environ.get(variable)):
        raise CommandError(f"The environment variable {variable} is empty or not set.")
    return password
