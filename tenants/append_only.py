"""Tables whose rows stand for good: the database refuses to change or remove them, whoever asks.

Grants keep the app from it (`app_may`); a trigger keeps everybody from it, the owner of the tables and superusers
included. A migration that must change such rows all the same disables the trigger by name, for all to read.
"""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import Model

from .row_security import DeferredConstraint

#: One function for all such tables; the constraint brings it, because triggers are made before `<app>/sql` is installed.
#: Revoked at once: a migration that breaks off must leave nothing that the audit refuses with which the next one begins.
_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE restrict_violation USING MESSAGE = TG_TABLE_NAME || ' is append-only: ' || TG_OP || ' is refused';
END $$;
REVOKE ALL ON FUNCTION refuse_change() FROM PUBLIC"""


class AppendOnly(DeferredConstraint):
    """UPDATE, DELETE and TRUNCATE of the table raise an integrity error (SQLSTATE 23001)."""

    def create_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """The function and the trigger, which has the constraint's name."""
        trigger = (
            f'CREATE TRIGGER "{self.name}" BEFORE UPDATE OR DELETE OR TRUNCATE ON %(table)s '
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return self._statement(model, schema_editor, f"{_FUNCTION};\n{trigger}")

    def remove_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """Drop the trigger; the function stays for other tables."""
        return self._statement(model, schema_editor, f'DROP TRIGGER "{self.name}" ON %(table)s')

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppendOnly) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def trigger_of(model: type[Model]) -> str | None:
    """The name of the table's trigger; None where its rows may be changed."""
    return next((one.name for one in model._meta.constraints if isinstance(one, AppendOnly)), None)
