"""`manage.py create_member`: a person who may log in to the admin for a tenant.

The password comes from an environment variable that the caller names, so that it is in no process list or history.
"""

from argparse import ArgumentParser
from typing import Any

from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand, password_in
from tenants.models import Role
from tenants.provisioning import seat_member
from tenants.registry import require_tenant
from tenants.scope import acting_for


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Make a person a member of a tenant, with a role; a new person is created."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who, where, as what."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", required=True, help="a slug")
        parser.add_argument("--email", required=True)
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--password-env", metavar="VAR", help="the variable that holds a new user's password")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Add the member."""
        variable = options["password_env"]
        password = None if variable is None else password_in(variable)
        with acting_for(require_tenant(options["tenant"])):
            member = seat_member(
                email=options["email"],
                role=Role(options["role"]),
                by=COMMAND_LINE,
                password=password,
            )
        return {"id": str(member.id), "tenant": options["tenant"], "email": member.user.email, "role": member.role}
