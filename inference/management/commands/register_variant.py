"""`manage.py register_variant`: name a tenant's fine-tune that the platform's deployments serve, or take it further."""

from argparse import ArgumentParser
from typing import Any

from inference import variants
from inference.models import Variant
from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand
from tenants.registry import require_tenant
from tenants.scope import acting_for, tenant_scope


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Name a variant of a granted model for a tenant; again with --state: take it to that state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, of what, and how its servers know it."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", required=True, help="a slug")
        parser.add_argument("--base", required=True, help="the catalogue's name of the model it was tuned from")
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--adapter", default="", help="a LoRA's name at the base's servers, or a custom model's ARN"
        )
        parser.add_argument("--state", choices=Variant.State.values, help="one step further than it is")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Create it, or move the one that there is."""
        with acting_for(require_tenant(options["tenant"])):
            with tenant_scope():
                row = Variant.objects.filter(name=options["name"], base__name=options["base"]).first()
            if row is None:
                row = variants.create_variant(
                    name=options["name"],
                    base=options["base"],
                    adapter=options["adapter"],
                    by=COMMAND_LINE,
                    by_tenant=False,
                )
            elif options["adapter"]:
                row = variants.set_adapter(
                    variant_id=row.id, adapter=options["adapter"], by=COMMAND_LINE, by_tenant=False
                )
            if options["state"] and options["state"] != row.state:
                row = variants.move_variant(variant_id=row.id, state=options["state"], by=COMMAND_LINE)
        return {"id": str(row.id), "model": f"ft:{options['base']}:{options['name']}", "state": row.state}
