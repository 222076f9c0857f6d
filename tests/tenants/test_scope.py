"""What tests/isolation does not ask of the scope: staff, joining, leaving, connections."""

import pytest
from django.db import connections, transaction
from django.db.models import F

from tenants.audit import COMMAND_LINE
from tenants.models import ApiKey, Tenant
from tenants.registry import create_tenant
from tenants.scope import (
    NoTenant,
    acting_for,
    as_staff,
    current_tenant,
    enter_tenant,
    is_staff,
    leave_tenant,
    tenant_scope,
)  # fmt: skip


def test_inside_a_scope_staff_works_as_the_app_role(committed):
    acme = committed("acme")
    with as_staff(), acting_for(acme.tenant.id):
        assert is_staff()
        with tenant_scope():
            assert not is_staff()
            assert ApiKey.objects.get().tenant_id == acme.tenant.id
            assert ApiKey.objects.all().db == "default"
            with tenant_scope():
                assert not is_staff()
        assert is_staff()


def test_what_staff_changes_inside_a_scope_is_undone_with_it(committed):
    acme = committed("acme")
    with pytest.raises(ZeroDivisionError), as_staff(), acting_for(acme.tenant.id), tenant_scope():
        ApiKey.objects.update(name="changed")
        raise ZeroDivisionError
    with as_staff():
        assert ApiKey.objects.get().name == "all"


def test_a_tenant_made_by_staff_is_all_or_nothing(committed):
    committed("acme")
    with as_staff():
        with pytest.raises(Exception, match="No plan"):
            create_tenant(slug="globex", name="G", by=COMMAND_LINE, options={"plan": "none"})
        assert list(Tenant.objects.values_list("slug", flat=True)) == ["acme"]


def test_staff_sees_every_tenant(committed):
    committed("acme"), committed("globex")
    with as_staff():
        assert set(ApiKey.objects.values_list("tenant__slug", flat=True)) == {"acme", "globex"}
        ApiKey.objects.update(name=F("name"))
    with pytest.raises(NoTenant):
        ApiKey.objects.count()


def test_the_outermost_scope_gives_its_connection_back(committed):
    acme = committed("acme")
    with acting_for(acme.tenant.id), tenant_scope():
        assert connections["default"].connection is not None
    assert connections["default"].connection is None


def test_an_inner_scope_joins_the_outer_transaction(committed):
    acme = committed("acme")
    with pytest.raises(ZeroDivisionError), acting_for(acme.tenant.id), tenant_scope():
        with tenant_scope():
            ApiKey.objects.update(name="changed")
        raise ZeroDivisionError
    with acting_for(acme.tenant.id), tenant_scope():
        assert ApiKey.objects.get().name == "all"


def test_a_request_starts_and_ends_without_a_tenant(acme, globex):
    with acting_for(acme.tenant.id):
        with leave_tenant():
            with pytest.raises(NoTenant):
                current_tenant()
            enter_tenant(globex.tenant.id)
            assert current_tenant() == globex.tenant.id
        assert current_tenant() == acme.tenant.id


def test_a_scope_in_a_broken_transaction_ends_cleanly(acme):
    with acting_for(acme.tenant.id):
        with pytest.raises(ZeroDivisionError), transaction.atomic(), tenant_scope():
            raise ZeroDivisionError
        with tenant_scope():
            assert ApiKey.objects.count() == 1
