"""`manage.py rebuild_rollups`: add the whole ledger up again, after a dump was restored into another server."""

from typing import Any

from django.core.management.base import BaseCommand

from billing.rollups import rebuild


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Throw the ledger's sums by hour and day away and make them anew. Needs the owner's credentials."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuild, and say how much there was."""
        self.stdout.write(f"{rebuild()} lines added up.\n")
