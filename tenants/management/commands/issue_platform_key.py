"""`manage.py issue_platform_key`: a key for `/v1/platform/…`. It is printed once and kept nowhere."""

from argparse import ArgumentParser
from typing import Any

from tenants.api_keys import issue_platform_key
from tenants.command_line import OperatorCommand


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Issue a platform key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Its name."""
        super().add_arguments(parser)
        parser.add_argument("--name", required=True)

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Issue it."""
        return {"name": options["name"], "key": issue_platform_key(name=options["name"])}
