"""The playground's keys: one a person, half an hour, no longer than the person may use them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from tenants.api_keys import InvalidKey, caller_of_key
from tenants.audit import COMMAND_LINE
from tenants.authentication import authenticate_key, forget_verified_keys
from tenants.errors import NotFound
from tenants.ids import public_id
from tenants.members import change_role, remove_member
from tenants.models import ApiKey, AuditEvent, Membership, Role
from tenants.playground_keys import issue_playground_key
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import seat


def issued(member: Member, user_id, *, now=None, groups=()):
    with acting_for(member.tenant.id):
        return issue_playground_key(user_id=user_id, by=COMMAND_LINE, now=now or datetime.now(UTC), groups=groups)


def test_a_key_does_what_the_playground_does_and_no_more(acme):
    row, key = issued(acme, seat(acme, "developer").id, groups=["board"])
    caller = authenticate_key(key)
    assert caller.scopes == {"inference", "vector_stores.read"}
    assert caller.groups == {"board"}
    assert row.name == "Playground of developer@acme.example"


def test_it_ends_after_half_an_hour(acme):
    user = seat(acme, "developer")
    _, key = issued(acme, user.id, now=datetime.now(UTC) - timedelta(minutes=31))
    with pytest.raises(InvalidKey):
        authenticate_key(key)


def test_the_next_one_ends_the_one_before_and_stands_in_its_row(acme):
    user = seat(acme, "developer")
    (first, old), (second, new) = issued(acme, user.id), issued(acme, user.id)
    assert first.id == second.id
    assert authenticate_key(new).key_id == first.id
    with pytest.raises(InvalidKey):
        authenticate_key(old)
    with acting_for(acme.tenant.id), tenant_scope():
        assert AuditEvent.objects.filter(action="playground_key.issued", object_id=str(first.id)).count() == 2


def test_two_people_have_one_each(acme):
    first, _ = issued(acme, seat(acme, "developer").id)
    second, _ = issued(acme, seat(acme, "owner").id)
    assert first.id != second.id


@pytest.mark.parametrize("ends", ["removed", "viewer", "deactivated"])
def test_it_ends_with_the_persons_seat(acme, ends):
    seat(acme, "owner")
    user = seat(acme, "developer")
    row, key = issued(acme, user.id)
    authenticate_key(key)
    with acting_for(acme.tenant.id), tenant_scope():
        membership = Membership.objects.get(user=user)
        if ends == "removed":
            remove_member(membership_id=membership.id, by=COMMAND_LINE)
        elif ends == "viewer":
            change_role(membership_id=membership.id, role=Role.VIEWER, by=COMMAND_LINE)
    if ends == "deactivated":
        user.is_active = False
        user.save(update_fields=["is_active"])
    forget_verified_keys()
    with pytest.raises(InvalidKey):
        authenticate_key(key)
    with acting_for(acme.tenant.id), pytest.raises(InvalidKey):
        caller_of_key(key_id=row.id, now=datetime.now(UTC))


def test_a_member_of_another_tenant_gets_none(acme, globex):
    with pytest.raises(NotFound):
        issued(acme, seat(globex, "owner").id)


def test_the_lists_of_keys_leave_it_out(acme):
    row, _ = issued(acme, seat(acme, "owner").id)
    assert len(acme.client.get("/v1/api_keys").json()["data"]) == 1
    assert acme.client.get(f"/v1/api_keys/{public_id('key_', row.id)}").status_code == 404


@pytest.mark.parametrize("fields", [{"purpose": "playground"}, {"user": True}])
def test_a_key_is_an_applications_or_a_persons(acme, fields):
    fields = {name: seat(acme, "owner") if name == "user" else value for name, value in fields.items()}
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(
                tenant_id=tenant_id, name="x", prefix="x", secret_hash="x", scopes=["inference"], **fields
            )
