"""Members on their pages: roles changed, people removed, owners kept."""

import re

import pytest
from django.contrib.admin.models import LogEntry

from tenants.audit import COMMAND_LINE
from tenants.members import LastOwner, change_role
from tenants.models import Membership, Role, User
from tests.tenants.admin_desk import actions_of, desk, in_scope, plain_static_files, seat

__all__ = ["plain_static_files"]


def test_an_admin_neither_makes_nor_removes_owners(acme):
    seat(acme, "owner")
    client = desk(seat(acme, "admin"))
    with in_scope(acme):
        owner = Membership.objects.get(role="owner")
    assert (
        client.post("/admin/tenants/invitation/add/", {"email": "x@acme.example", "role": "owner"}).status_code == 200
    )
    assert client.post(f"/admin/tenants/membership/{owner.id}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"/admin/tenants/membership/{owner.id}/change/", {"role": "viewer"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": str(owner.id), "post": "yes"}
    assert client.post("/admin/tenants/membership/", form).status_code == 403
    with in_scope(acme):
        assert Membership.objects.filter(role="owner").count() == 1


def test_a_member_is_changed_and_removed_with_an_audit_row_each(acme):
    client = desk(seat(acme, "owner"))
    seat(acme, "finance", email="new@acme.example")
    with in_scope(acme):
        added = Membership.objects.get(role="finance")
    client.post(f"/admin/tenants/membership/{added.id}/change/", {"role": "viewer"})
    with in_scope(acme):
        assert Membership.objects.get(id=added.id).role == "viewer"
    client.post(f"/admin/tenants/membership/{added.id}/delete/", {"post": "yes"})
    with in_scope(acme):
        assert not Membership.objects.filter(id=added.id).exists()
    done = [("member.added", "command"), ("member.role_changed", "user"), ("member.removed", "user")]
    assert actions_of(acme)[-3:] == done
    assert User.objects.filter(email="new@acme.example").exists()
    assert not LogEntry.objects.exists()


def test_somebody_known_elsewhere_is_invited_like_somebody_new(acme, globex):
    seat(globex, "owner", email="known@example.com")
    client = desk(seat(acme, "owner"))
    answers = []
    for email in ("known@example.com", "fresh@example.com"):
        answer = client.post("/admin/tenants/invitation/add/", {"email": email, "role": "viewer"}, follow=True)
        messages = [str(message).replace(email, "") for message in answer.context["messages"]]
        answers.append((answer.status_code, [re.sub(r"[0-9a-f-]{36}", "", message) for message in messages]))
    assert answers[0] == answers[1]


def test_the_last_owner_stays(acme):
    client = desk(seat(acme, "owner"))
    with in_scope(acme):
        owner = Membership.objects.get()
    answer = client.post(f"/admin/tenants/membership/{owner.id}/delete/", {"post": "yes"}, follow=True)
    assert "last owner" in answer.content.decode()
    answer = client.post(f"/admin/tenants/membership/{owner.id}/change/", {"role": "viewer"}, follow=True)
    assert "last owner" in answer.content.decode()
    with in_scope(acme):
        assert Membership.objects.get().role == "owner"
        with pytest.raises(LastOwner):
            change_role(membership_id=owner.id, role=Role.ADMIN, by=COMMAND_LINE)


def test_a_member_is_not_invited(acme):
    client = desk(seat(acme, "owner"))
    answer = client.post(
        "/admin/tenants/invitation/add/", {"email": "owner@acme.example", "role": "viewer"}, follow=True
    )
    assert "is a member already" in answer.content.decode()
