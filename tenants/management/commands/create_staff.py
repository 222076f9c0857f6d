"""`manage.py create_staff`: a person of the platform's staff, who may log in to the admin and sees every tenant.

Django's `createsuperuser` cannot be used: it looks at the table of migrations, which the web role may not read.
"""

from argparse import ArgumentParser
from typing import Any

from tenants.command_line import OperatorCommand, password_in
from tenants.provisioning import seat_staff


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Make a new person one of the platform's staff."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who."""
        super().add_arguments(parser)
        parser.add_argument("--email", required=True)
        parser.add_argument("--password-env", metavar="VAR", required=True, help="the variable that holds the password")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Make them."""
        user = seat_staff(email=options["email"], password=password_in(options["password_env"]))
        return {"id": str(user.id), "email": user.email}
