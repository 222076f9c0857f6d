"""The catalogue audit: nothing found on the real schema, every planted fault found."""

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from tenants.catalogue import violations

FAULTS = {
    "row security off": ("ALTER TABLE tenants_apikey DISABLE ROW LEVEL SECURITY", "lacks FORCE"),
    "not forced": ("ALTER TABLE tenants_apikey NO FORCE ROW LEVEL SECURITY", "lacks FORCE"),
    "a second permissive policy": ("CREATE POLICY more ON tenants_apikey TO atrium_app USING (true)", "other policies"),
    "a policy for everybody": ("CREATE POLICY more ON tenants_apikey USING (true)", "other policies"),
    "a policy that keeps silent": (
        "DROP POLICY tenant ON tenants_apikey; CREATE POLICY tenant ON tenants_apikey TO atrium_app "
        "USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)",
        "other policies",
    ),
    "no policy": ("DROP POLICY tenant ON tenants_apikey", "other policies"),
    "a table nobody guarded": (
        "CREATE TABLE planted (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id))",
        "lacks FORCE",
    ),
    "a key without the tenant": ("CREATE TABLE planted (tenant_id uuid, id uuid PRIMARY KEY)", "primary key without"),
    "truncate granted": ("GRANT TRUNCATE ON tenants_apikey TO atrium_app", "grants TRUNCATE"),
    "granted to the public": ("GRANT SELECT ON tenants_apikey TO PUBLIC", "granted to PUBLIC"),
    "update on an append-only table": ("GRANT UPDATE ON tenants_auditevent TO atrium_app", "beyond its model"),
    "a view": ("CREATE VIEW planted AS SELECT * FROM tenants_apikey", "view planted"),
    "a materialised view": ("CREATE MATERIALIZED VIEW planted AS SELECT 1", "view planted"),
    "an unlisted definer function": (
        "CREATE FUNCTION planted() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "not on the list",
    ),
    "a definer function of the owner": ("ALTER FUNCTION claim_work OWNER TO atrium_owner", "belongs to"),
    "a definer function without a search path": (
        "ALTER FUNCTION queue_depth RESET search_path",
        "no fixed search_path",
    ),
    "execute for the public": ("GRANT EXECUTE ON FUNCTION tenant_by_slug TO PUBLIC", "executed by PUBLIC"),
    "a plain foreign key": (
        "CREATE UNIQUE INDEX planted_key ON tenants_apikey (id); CREATE TABLE planted (a uuid REFERENCES tenants_apikey (id))",
        "without tenant_id",
    ),
    "a unique index without the tenant": ("CREATE UNIQUE INDEX planted ON tenants_apikey (prefix)", "lacks tenant_id"),
}


@pytest.fixture
def superuser(db: None, django_db_blocker: object) -> Iterator[object]:
    """A superuser's connection to the test database, in a transaction that is rolled back."""
    import os

    import psycopg

    name = connections["default"].settings_dict["NAME"]
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], dbname=name) as connection:
        yield connection
        connection.rollback()


def audit(superuser: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The audit, read through the superuser's open transaction."""

    class Alias:
        cursor = staticmethod(superuser.cursor)  # type: ignore[attr-defined]

    monkeypatch.setattr("tenants.catalogue.connections", {"default": Alias})
    return violations("default")


def test_the_real_schema_is_sound(db):
    assert violations("default") == []


def test_django_runs_the_audit_as_a_system_check(db):
    call_command("check", databases=["default"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(superuser, monkeypatch, fault):
    statement, expected = FAULTS[fault]
    superuser.execute(statement)
    found = audit(superuser, monkeypatch)
    assert any(expected in violation for violation in found), found


def test_a_grant_on_a_single_partition_is_found(superuser, monkeypatch):
    superuser.execute(
        "CREATE TABLE planted (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);"
        "CREATE TABLE planted_part PARTITION OF planted DEFAULT; GRANT SELECT ON planted_part TO atrium_app"
    )
    assert any("partition planted_part is granted" in v for v in audit(superuser, monkeypatch))


def test_a_role_that_passes_row_security_is_found(superuser, monkeypatch):
    superuser.execute("ALTER ROLE atrium_staff BYPASSRLS")
    assert "role atrium_staff passes row-level security" in audit(superuser, monkeypatch)


def test_the_audit_needs_no_open_transaction(db):
    with transaction.atomic():
        assert violations("default") == []
