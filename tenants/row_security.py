"""Row-level security as Django constraints, so that migrations carry it.

`TenantOwned` turns a table's primary key into `(tenant_id, id)` and installs its policies under FORCE ROW LEVEL
SECURITY; `TenantForeignKey` emits the composite foreign key of a `ForeignKey(db_constraint=False)`, so that no row
can point into another tenant (plain foreign keys bypass row-level security).

Each role has exactly one policy. The app's has no default: without a scope `current_setting` raises.
"""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement, Table
from django.db.models import BaseConstraint, Model

from .database_roles import APP, DEFINER, OWNER, STAFF

TENANT_SETTING = "current_setting('app.tenant_id')::uuid"


def policies_of(table: str, *, key: str = "tenant_id") -> list[str]:
    """The statements that close a table (trusted SQL) to all but the tenant whose id its column `key` holds."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} TO {APP} USING ({key} = {TENANT_SETTING})",
        *(f"CREATE POLICY {role} ON {table} TO {role} USING (true)" for role in (OWNER, STAFF, DEFINER)),
    ]


class DeferredConstraint(BaseConstraint):
    """A constraint whose statements run after its table exists, in CREATE TABLE as well as by AddConstraint."""

    def constraint_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> None:  # type: ignore[override]
        """Queue the statements behind CREATE TABLE; nothing stands inside it."""
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))

    def create_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        raise NotImplementedError

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to check in Python: the database decides."""

    def _statement(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor, template: str) -> Statement:
        return Statement(template, table=Table(model._meta.db_table, schema_editor.quote_name))


class TenantOwned(DeferredConstraint):
    """The table belongs to tenants: composite key and one policy a role.

    Args:
        key: the column that holds the tenant's id (`id` on the tenant table itself, whose key stays as it is).
    """

    def __init__(self, *, name: str, key: str = "tenant_id", violation_error_message: str | None = None) -> None:
        super().__init__(name=name, violation_error_message=violation_error_message)
        self.key = key

    def create_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """Key, FORCE ROW LEVEL SECURITY and the four policies."""
        table = model._meta.db_table
        statements = []
        if self.key == "tenant_id":
            statements.append(f'ALTER TABLE %(table)s DROP CONSTRAINT "{table}_pkey"')
            statements.append(f'ALTER TABLE %(table)s ADD CONSTRAINT "{table}_pkey" PRIMARY KEY (tenant_id, id)')
        statements += policies_of("%(table)s", key=self.key)
        return self._statement(model, schema_editor, ";\n".join(statements))

    def remove_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """Drop the policies; without one, FORCE leaves the table readable by nobody."""
        drops = [f"DROP POLICY {policy} ON %(table)s" for policy in ("tenant", OWNER, STAFF, DEFINER)]
        return self._statement(model, schema_editor, ";\n".join(drops))

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        """For migrations."""
        path, args, kwargs = super().deconstruct()
        if self.key != "tenant_id":
            kwargs["key"] = self.key
        return path, args, kwargs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TenantOwned) and (self.name, self.key) == (other.name, other.key)

    def __hash__(self) -> int:
        return hash((self.name, self.key))


class TenantForeignKey(DeferredConstraint):
    """`(tenant_id, <field>_id)` references `(tenant_id, id)` of the field's target; checked at commit.

    Args:
        field: the name of a `ForeignKey(db_constraint=False)` of the model.
        cascade: rows go with their target, in the database itself; otherwise they are in the way of its deletion.
    """

    def __init__(
        self, *, name: str, field: str, cascade: bool = False, violation_error_message: str | None = None
    ) -> None:
        super().__init__(name=name, violation_error_message=violation_error_message)
        self.field = field
        self.cascade = cascade

    def create_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """The deferrable composite foreign key."""
        column = model._meta.get_field(self.field).column  # type: ignore[union-attr]
        target = model._meta.get_field(self.field).related_model._meta.db_table  # type: ignore[union-attr]
        return self._statement(
            model,
            schema_editor,
            f'ALTER TABLE %(table)s ADD CONSTRAINT "{self.name}" FOREIGN KEY (tenant_id, "{column}") '
            f'REFERENCES "{target}" (tenant_id, id) {"ON DELETE CASCADE " if self.cascade else ""}'
            "DEFERRABLE INITIALLY DEFERRED",
        )

    def remove_sql(self, model: type[Model], schema_editor: BaseDatabaseSchemaEditor) -> Statement:  # type: ignore[override]
        """Drop the foreign key."""
        return self._statement(model, schema_editor, f'ALTER TABLE %(table)s DROP CONSTRAINT "{self.name}"')

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        """For migrations."""
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "field": self.field, **({"cascade": True} if self.cascade else {})}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TenantForeignKey) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, bool]:
        return self.name, self.field, self.cascade
