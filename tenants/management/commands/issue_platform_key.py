"""`manage.py issue_platform_key`: a key for `/v1/platform/…`. It is printed once and kept nowhere."""

from argparse import ArgumentParser
from typing import Any

from tenants.api_keys import issue_platform_key
from tenants.command_line import OperatorCommand
from tenants.permissions import PLATFORM_SCOPES


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Issue a platform key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Its name, and what it may do."""
        super().add_arguments(parser)
        parser.add_argument("--name", required=True)
        parser.add_argument("--scope", action="append", choices=PLATFORM_SCOPES, help="repeat it; all where missing")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Issue it."""
        scopes = options["scope"] or PLATFORM_SCOPES
        return {"name": options["name"], "key": issue_platform_key(name=options["name"], scopes=scopes)}
