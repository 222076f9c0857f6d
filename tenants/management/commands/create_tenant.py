"""`manage.py create_tenant`: a tenant with its plan and what each app gives a new one."""

from argparse import ArgumentParser
from typing import Any

from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand
from tenants.registry import create_tenant


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Create a tenant."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who it is."""
        super().add_arguments(parser)
        parser.add_argument("--slug", required=True, help="lower case letters, digits and hyphens")
        parser.add_argument("--name", required=True)
        parser.add_argument("--plan", help="a plan's slug; 'standard' where missing")
        parser.add_argument("--currency", default="USD", help="ISO 4217")
        parser.add_argument(
            "--retention-days", type=int, help="the plan's where missing; 0: prompts and answers go at settlement"
        )
        parser.add_argument("--external-id", help="the operator's own id")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Create it."""
        tenant = create_tenant(
            slug=options["slug"],
            name=options["name"],
            by=COMMAND_LINE,
            currency=options["currency"],
            external_id=options["external_id"],
            content_retention_days=options["retention_days"],
            options={"plan": options["plan"]},
        )
        return {"id": str(tenant.id), "slug": tenant.slug, "name": tenant.name, "currency": tenant.currency}
