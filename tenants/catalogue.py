"""The catalogue audit: what the database itself says about tables, policies, grants, functions and foreign keys.

`violations()` reads PostgreSQL's catalogue, not the models, so it finds what a migration, a hand-written statement or
an extension left open. `manage.py check --database default` runs it, so does the test suite with each fault planted.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error
from django.db import connections

from .database_objects import DEFINER_FUNCTIONS, own_functions
from .database_roles import APP, DEFINER, OWNER, STAFF
from .managers import TenantModel

_POLICY_OF = {APP: None, OWNER: "true", STAFF: "true", DEFINER: "true"}
_ALLOWED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


def check_catalogue(
    app_configs: Sequence[AppConfig] | None, databases: Any = None, **kwargs: Any
) -> list[CheckMessage]:
    """Django's database check: one error a violation."""
    alias = next((name for name in databases or () if name in connections), None)
    if alias is None or "tenants_tenant" not in connections[alias].introspection.table_names():
        return []
    return [Error(text, id="tenants.E100") for text in violations(alias)]


def violations(using: str = "default") -> list[str]:
    """Every way in which the catalogue lets a row, a table or a function cross tenants; empty when sound."""
    with connections[using].cursor() as cursor:
        return [
            *_roles(cursor),
            *_tables(cursor),
            *_policies(cursor),
            *_grants(cursor),
            *_views(cursor),
            *_functions(cursor),
            *_foreign_keys(cursor),
            *_unique_keys(cursor),
        ]


def _rows(cursor: Any, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    cursor.execute(query, parameters)
    return list(cursor.fetchall())


def _roles(cursor: Any) -> Iterator[str]:
    for name, superuser, bypass in _rows(
        cursor,
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = ANY (%s)",
        [[APP, OWNER, STAFF, DEFINER]],
    ):
        if superuser or bypass:
            yield f"role {name} passes row-level security"
    for member, role in _rows(
        cursor,
        "SELECT m.member::regrole::text, m.roleid::regrole::text FROM pg_auth_members m "
        "WHERE m.member::regrole::text = ANY (%s)",
        [[APP, STAFF]],
    ):
        yield f"role {member} is a member of {role}"


def _tenant_tables(cursor: Any) -> list[str]:
    """Tables (partitions included) with a tenant_id column, and the tenant table."""
    return [
        name
        for (name,) in _rows(
            cursor,
            "SELECT DISTINCT c.relname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid "
            "AND a.attname = 'tenant_id' AND NOT a.attisdropped WHERE c.relnamespace = 'public'::regnamespace "
            "AND c.relkind IN ('r', 'p') AND (a.attname IS NOT NULL OR c.relname = 'tenants_tenant')",
        )
    ]


def _tables(cursor: Any) -> Iterator[str]:
    tables = _tenant_tables(cursor)
    expected = {model._meta.db_table for model in apps.get_models() if issubclass(model, TenantModel)}
    # A table that does not exist yet is a migration to run, and `migrate` itself asks for this check before it does.
    standing = {
        name for (name,) in _rows(cursor, "SELECT relname FROM pg_class WHERE relname = ANY (%s)", [list(expected)])
    }
    for missing in sorted(standing - set(tables)):
        yield f"table {missing} has no tenant_id"
    for name, partition, enabled, forced, owner, key in _rows(
        cursor,
        "SELECT c.relname, c.relispartition, c.relrowsecurity, c.relforcerowsecurity, c.relowner::regrole::text, "
        "(SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid "
        " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary) "
        "FROM pg_class c WHERE c.relname = ANY (%s) AND c.relnamespace = 'public'::regnamespace",
        [tables],
    ):
        if owner != OWNER:
            yield f"table {name} belongs to {owner}"
        if not (enabled and forced) and not partition:
            yield f"table {name} lacks FORCE ROW LEVEL SECURITY"
        if name != "tenants_tenant" and not partition and "tenant_id" not in (key or []):
            yield f"table {name} has a primary key without tenant_id"


def _policies(cursor: Any) -> Iterator[str]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for table, *policy in _rows(
        cursor,
        "SELECT tablename, policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies "
        "WHERE schemaname = 'public'",
    ):
        found.setdefault(table, []).append(tuple(policy))
    partitions = {name for (name,) in _rows(cursor, "SELECT relname FROM pg_class WHERE relispartition")}
    for table in set(_tenant_tables(cursor)) - partitions:
        policies = found.get(table, [])
        for role, wanted in _POLICY_OF.items():
            of_role = [policy for policy in policies if role in policy[2] or "public" in policy[2]]
            column = "id" if table == "tenants_tenant" else "tenant_id"
            qual = wanted or f"({column} = (current_setting('app.tenant_id'::text))::uuid)"
            if len(of_role) != 1 or of_role[0][3:5] != ("ALL", qual) or of_role[0][5] not in (None, qual):
                yield f"table {table} has other policies for {role} than the one it must have"


def _grants(cursor: Any) -> Iterator[str]:
    for table, partition, grantee, privilege in _rows(
        cursor,
        "SELECT c.relname, c.relispartition, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, "
        "g.privilege_type FROM pg_class c, aclexplode(c.relacl) g "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
    ):
        if grantee == OWNER:
            continue
        if grantee not in (APP, STAFF, DEFINER):
            yield f"table {table} is granted to {grantee}"
        elif privilege not in _ALLOWED:
            yield f"table {table} grants {privilege} to {grantee}"
        elif partition:
            yield f"partition {table} is granted to {grantee}"
    declared = {m._meta.db_table: set(m.app_may) for m in apps.get_models() if hasattr(m, "app_may")}
    for table, privileges in declared.items():
        actual = _rows(
            cursor,
            "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = %s AND table_name = %s",
            [APP, table],
        )
        if extra := {name for (name,) in actual} - privileges:
            yield f"table {table} grants {APP} {sorted(extra)} beyond its model"


def _views(cursor: Any) -> Iterator[str]:
    for (name,) in _rows(
        cursor,
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm', 'f') "
        "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
    ):
        yield f"view {name} reads past the policies of its tables"


def _functions(cursor: Any) -> Iterator[str]:
    for signature, definer, owner in own_functions(cursor):
        name = signature.split("(")[0]
        if definer and name not in DEFINER_FUNCTIONS:
            yield f"function {signature} is SECURITY DEFINER and not on the list"
        if definer and owner != DEFINER:
            yield f"function {signature} belongs to {owner}"
        if not definer and name in DEFINER_FUNCTIONS:
            yield f"function {signature} is on the list but not SECURITY DEFINER"
    for signature, definer, path, public in _rows(
        cursor,
        "SELECT p.oid::regprocedure::text, p.prosecdef, coalesce(p.proconfig::text, ''), "
        "p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) g WHERE g.grantee = 0) FROM pg_proc p "
        "WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS "
        "(SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')",
    ):
        if public:
            yield f"function {signature} can be executed by PUBLIC"
        if definer and "search_path=pg_catalog, public, pg_temp" not in path:
            yield f"function {signature} has no fixed search_path"


def _foreign_keys(cursor: Any) -> Iterator[str]:
    tables = set(_tenant_tables(cursor))
    for name, table, target, columns in _rows(
        cursor,
        "SELECT k.conname, k.conrelid::regclass::text, k.confrelid::regclass::text, "
        "(SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = k.conrelid "
        " AND a.attnum = ANY (k.conkey)) FROM pg_constraint k "
        "WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace",
    ):
        if target in tables and target != "tenants_tenant" and "tenant_id" not in columns:
            yield f"foreign key {name} of {table} reaches {target} without tenant_id"


def _unique_keys(cursor: Any) -> Iterator[str]:
    tables = set(_tenant_tables(cursor)) - {"tenants_tenant"}
    for name, table, columns in _rows(
        cursor,
        "SELECT i.indexrelid::regclass::text, c.relname, (SELECT array_agg(a.attname::text) FROM pg_attribute a "
        "WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
        "WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace",
    ):
        if table in tables and "tenant_id" not in (columns or []):
            yield f"unique index {name} of {table} lacks tenant_id"
