"""`migrate` as the owner: the only role that may change the schema."""

from django.core.management.base import CommandParser
from django.core.management.commands import migrate


class Command(migrate.Command):
    """Django's migrate with `--database owner` as the default."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Django's arguments, another default."""
        super().add_arguments(parser)
        parser.set_defaults(database="owner")
