"""Which database alias a query takes: `owner` for migrations only, `staff` for platform staff, else `default`."""

from typing import Any

from .scope import is_staff


class RoleRouter:
    """Django's database router over the three roles of one database."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """`staff` inside `as_staff()`; otherwise Django's default."""
        return "staff" if is_staff() else None

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """All aliases are one database."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Only the owner changes the schema."""
        return db == "owner"
