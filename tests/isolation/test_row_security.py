"""What the database refuses, asked by raw SQL as the app role."""

import uuid

import pytest
from django.apps import apps
from django.db import DataError, IntegrityError, ProgrammingError, connection, transaction

from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.models import ApiKey, AuditEvent, Membership, Tenant
from tenants.scope import NoTenant, OtherTenant, acting_for, tenant_scope

TENANT_TABLES = sorted(model._meta.db_table for model in apps.get_models() if issubclass(model, TenantModel))


def run(statement: str, *parameters: object) -> list[tuple]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def test_the_suite_talks_to_the_database_as_the_app_role(db):
    assert run("SELECT current_user, usesuper, usebypassrls FROM pg_user WHERE usename = current_user") == [
        ("atrium_app", False, False)
    ]


@pytest.mark.parametrize("table", [*TENANT_TABLES, "tenants_tenant"])
def test_a_table_raises_without_a_scope(acme, table):
    with pytest.raises((ProgrammingError, DataError)):
        run(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_a_table_shows_only_own_rows_within_a_scope(acme, globex, table):
    with acting_for(acme.tenant.id), tenant_scope():
        owners = {row[0] for row in run(f"SELECT DISTINCT tenant_id FROM {table}")}
    assert owners <= {acme.tenant.id}


def test_a_tenant_sees_its_own_row_only(acme, globex):
    with acting_for(acme.tenant.id), tenant_scope():
        assert list(Tenant.objects.values_list("slug", flat=True)) == ["acme"]


def test_a_row_of_another_tenant_cannot_be_written(acme, globex):
    with acting_for(acme.tenant.id), tenant_scope(), pytest.raises(ProgrammingError, match="row-level security"):
        run(
            "INSERT INTO tenants_apikey (tenant_id, id, name, prefix, secret_hash, scopes) VALUES (%s, %s, '', '', '', '{}')",
            globex.tenant.id,
            uuid7(),
        )


def test_updates_and_deletes_miss_foreign_rows(acme, globex):
    with acting_for(acme.tenant.id), tenant_scope():
        assert run(
            "WITH gone AS (DELETE FROM tenants_apikey RETURNING tenant_id) SELECT DISTINCT tenant_id FROM gone"
        ) == [(acme.tenant.id,)]
    with acting_for(globex.tenant.id), tenant_scope():
        assert ApiKey.objects.count() == 1


def test_truncate_is_not_granted(acme):
    with acting_for(acme.tenant.id), tenant_scope(), pytest.raises(ProgrammingError, match="permission denied"):
        run("TRUNCATE tenants_apikey")


@pytest.mark.parametrize("statement", ["UPDATE tenants_auditevent SET action = ''", "DELETE FROM tenants_auditevent"])
def test_the_audit_log_is_append_only(acme, statement):
    with acting_for(acme.tenant.id), tenant_scope(), pytest.raises(ProgrammingError, match="permission denied"):
        run(statement)


def test_managers_raise_without_a_current_tenant(acme):
    with pytest.raises(NoTenant):
        ApiKey.objects.count()


def test_a_scope_needs_a_current_tenant(db):
    with pytest.raises(NoTenant), tenant_scope():
        pass


def test_a_scope_refuses_another_tenant_inside(acme, globex):
    with acting_for(acme.tenant.id), tenant_scope():
        with pytest.raises(OtherTenant), acting_for(globex.tenant.id):
            pass


def test_a_scope_resets_when_nested_in_an_outer_transaction(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        rows = ApiKey.objects.all()
        assert len(rows) == 1
    with pytest.raises((ProgrammingError, DataError)):
        run("SELECT count(*) FROM tenants_apikey")


def test_a_lazy_queryset_that_outlives_its_scope_raises(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        rows = ApiKey.objects.all()
    with pytest.raises((ProgrammingError, DataError)), transaction.atomic():
        list(rows)


def test_two_tenants_may_use_the_same_id(acme, globex):
    shared = uuid7()
    for member in (acme, globex):
        with acting_for(member.tenant.id), tenant_scope() as tenant_id:
            AuditEvent.objects.create(id=shared, tenant_id=tenant_id, actor_type="", actor_id="", action="x")
    with acting_for(acme.tenant.id), tenant_scope():
        assert AuditEvent.objects.filter(id=shared).count() == 1


def test_an_unknown_tenant_sees_nothing(acme):
    with acting_for(uuid.uuid4()), tenant_scope():
        assert ApiKey.objects.count() == Membership.objects.count() == Tenant.objects.count() == 0


def test_unique_keys_hold_inside_a_tenant(acme):
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        key = ApiKey.objects.get()
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(tenant_id=tenant_id, name="again", prefix=key.prefix, scopes=[])


def test_the_change_and_its_audit_row_share_a_transaction(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        actions = list(AuditEvent.objects.order_by("id").values_list("action", "actor_type"))
    grants = ("grant.created", "system")
    assert actions == [("tenant.created", COMMAND_LINE.type), grants, grants, ("api_key.issued", COMMAND_LINE.type)]
