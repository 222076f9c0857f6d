"""A closed month takes no more rows: the database refuses them, whoever writes.

A statement closes its month (`statements/closing.py`). Who writes a row of a month and who closes it take the same
advisory lock, the writers shared: so a closing waits for rows that are written but not committed, and they for it.
"""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import Model

from tenants.row_security import DeferredConstraint

#: The lock is the one that `lock_month` (sql/closing.sql) takes for itself alone.
_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_closed_month() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(uuid_hash(NEW.tenant_id), NEW.period_start - DATE '2000-01-01');
    IF EXISTS (SELECT 1 FROM billing_statement s WHERE s.tenant_id = NEW.tenant_id AND s.period_start = NEW.period_start) THEN
        RAISE restrict_violation USING MESSAGE = 'the month ' || to_char(NEW.period_start, 'YYYY-MM') || ' is closed';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION refuse_closed_month() FROM PUBLIC"""


class OpenMonth(DeferredConstraint):
    """A row whose `period_start` is a closed month of its tenant raises an integrity error (SQLSTATE 23001).

    Args:
        of: a condition on NEW (trusted SQL); rows for which it is false are not looked at.
    """

    def __init__(self, *, name: str, of: str = "true", violation_error_message: str | None = None) -> None:
        super().__init__(name=name, violation_error_message=violation_error_message)
        self.of = of

    def create_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """The function and the trigger, which has the constraint's name."""
        trigger = (
            f'CREATE TRIGGER "{self.name}" AFTER INSERT ON %(table)s FOR EACH ROW WHEN ({self.of}) '
            "EXECUTE FUNCTION refuse_closed_month()"
        )
        return self._statement(model, schema_editor, f"{_FUNCTION};\n{trigger}")

    def remove_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """Drop the trigger; the function stays for other tables."""
        return self._statement(model, schema_editor, f'DROP TRIGGER "{self.name}" ON %(table)s')

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        """For migrations."""
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "of": self.of}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenMonth) and (self.name, self.of) == (other.name, other.of)

    def __hash__(self) -> int:
        return hash((self.name, self.of))
