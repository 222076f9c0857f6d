"""Members: an owner always stays, whatever happens at once; people outlive their memberships."""

import threading
from collections.abc import Callable

import pytest
from django.db import connections

from tenants.audit import COMMAND_LINE
from tenants.errors import NotFound
from tenants.ids import uuid7
from tenants.members import AlreadyMember, LastOwner, add_member, change_role, remove_member, seats_of
from tenants.models import Membership, Role, User
from tenants.scope import NoTenant, acting_for, tenant_scope
from tests.conftest import Member


def add(member: Member, email: str, role: Role) -> Membership:
    with acting_for(member.tenant.id):
        return add_member(email=email, role=role, by=COMMAND_LINE)


def test_a_new_person_cannot_log_in_with_any_password(acme):
    user = add(acme, " New@Example.com ", Role.VIEWER).user
    assert (user.email, user.username, user.has_usable_password()) == ("new@example.com", "new@example.com", False)


def test_an_address_longer_than_a_user_name_is_taken(acme):
    email = f"{'x' * 60}@{'y' * 60}.{'z' * 60}.example"
    assert add(acme, email, Role.VIEWER).user.email == email


def test_one_person_in_two_tenants_is_one_user(acme, globex):
    first, second = add(acme, "both@example.com", Role.OWNER), add(globex, "Both@example.com", Role.VIEWER)
    assert first.user == second.user
    assert [(seat.tenant_id, seat.role) for seat in seats_of(first.user.id)] == [
        (acme.tenant.id, "owner"),
        (globex.tenant.id, "viewer"),
    ]


def test_nobody_is_a_member_twice(acme):
    add(acme, "one@example.com", Role.OWNER)
    with pytest.raises(AlreadyMember):
        add(acme, "ONE@example.com", Role.VIEWER)


def test_a_removed_member_stays_a_user(acme):
    add(acme, "one@example.com", Role.OWNER)
    leaver = add(acme, "two@example.com", Role.OWNER)
    with acting_for(acme.tenant.id):
        remove_member(membership_id=leaver.id, by=COMMAND_LINE)
    assert User.objects.filter(id=leaver.user_id).exists()
    assert seats_of(leaver.user_id) == []


def test_anothers_member_is_not_found(acme, globex):
    theirs = add(acme, "one@example.com", Role.VIEWER)
    with acting_for(globex.tenant.id):
        for membership_id in (theirs.id, uuid7()):
            with pytest.raises(NotFound):
                remove_member(membership_id=membership_id, by=COMMAND_LINE)
            with pytest.raises(NotFound):
                change_role(membership_id=membership_id, role=Role.OWNER, by=COMMAND_LINE)


def test_members_are_added_for_somebody(acme):
    with pytest.raises(NoTenant):
        add_member(email="x@example.com", role=Role.VIEWER, by=COMMAND_LINE)


def test_two_owners_who_remove_each_other_at_once_leave_one(committed: Callable[[str], Member]):
    acme = committed("acme")
    owners = [add(acme, f"owner-{n}@example.com", Role.OWNER) for n in range(8)]
    ready, refused = threading.Barrier(len(owners)), []

    def remove(membership: Membership) -> None:
        ready.wait()
        try:
            with acting_for(acme.tenant.id):
                remove_member(membership_id=membership.id, by=COMMAND_LINE)
        except LastOwner:
            refused.append(membership)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=remove, args=[owner]) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with acting_for(acme.tenant.id), tenant_scope():
        assert list(Membership.objects.values_list("id", flat=True)) == [owner.id for owner in refused]
    assert len(refused) == 1
