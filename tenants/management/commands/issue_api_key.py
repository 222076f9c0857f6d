"""`manage.py issue_api_key`: a key for a tenant's apps. It is printed once and kept nowhere."""

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.command_line import OperatorCommand
from tenants.permissions import KEY_SCOPES, SPEAKS_FOR_ALL
from tenants.registry import require_tenant
from tenants.scope import acting_for


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Issue an API key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, and what it may."""
        super().add_arguments(parser)
        parser.add_argument("--tenant", required=True, help="a slug")
        parser.add_argument("--name", default="command line")
        parser.add_argument("--scopes", required=True, help=f"'all', or some of {','.join(sorted(KEY_SCOPES))}")
        parser.add_argument(
            "--group", action="append", default=[], help="what it may find at most; several by repeating"
        )
        parser.add_argument("--expires-days", type=int, help="never where missing")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Issue it."""
        wanted = options["scopes"]
        scopes = (
            _all_scopes(options) if wanted == "all" else [scope.strip() for scope in wanted.split(",") if scope.strip()]
        )
        now, days = datetime.now(UTC), options["expires_days"]
        with acting_for(require_tenant(options["tenant"])):
            row, key = issue(
                name=options["name"],
                scopes=scopes,
                groups=options["group"],
                by=COMMAND_LINE,
                expires_at=None if days is None else now + timedelta(days=days),
                now=now,
            )
        said = {"id": str(row.id), "tenant": options["tenant"], "name": row.name, "scopes": row.scopes}
        return {**said, "groups": row.groups, "key": key}


def _all_scopes(options: dict[str, Any]) -> list[str]:
    """A key with groups cannot speak for every group."""
    return sorted(KEY_SCOPES - {SPEAKS_FOR_ALL} if options["group"] else KEY_SCOPES)
