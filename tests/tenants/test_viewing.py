"""Platform staff view a tenant: as its owner sees it, changing nothing, for an hour, and in the tenant's own log."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import InternalError, transaction
from django.test import Client

from tenants.ids import uuid7
from tenants.models import ApiKey, AuditEvent, StaffView, Tenant, User
from tenants.scope import acting_for, tenant_scope
from tenants.viewing import end_overdue_views, start_view
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


@pytest.fixture
def acme(committed: Callable[[str], Member]) -> Member:
    return committed("acme")


@pytest.fixture
def staff(committed: Callable[[str], Member]) -> User:
    return User.objects.create_superuser("root", "root@platform.example")


def begin(client: Client, member: Member, reason: str = "Ticket 4711") -> None:
    url = f"/admin/tenants/tenant/{member.tenant.id}/view-as/"
    assert client.get(url).status_code == 200
    assert client.post(url, {"reason": reason}).status_code == 302


def log_of(member: Member) -> list[tuple[str, str, dict]]:
    with acting_for(member.tenant.id), tenant_scope():
        events = AuditEvent.objects.filter(action__startswith="staff_view").order_by("id")
        return [(event.action, event.actor_type, event.changes) for event in events]


def test_staff_see_what_an_owner_sees_and_nothing_of_others(acme, committed, staff):
    globex = committed("globex")
    client = desk(staff)
    begin(client, acme)
    page = client.get("/admin/tenants/apikey/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "You view" in text and "Stop viewing" in text and "Acme" in text
    with acting_for(globex.tenant.id), tenant_scope():
        foreign = ApiKey.objects.get()
    assert client.get(f"/admin/tenants/apikey/{foreign.id}/change/").status_code == 302
    assert client.get("/admin/tenants/user/").status_code == 403


def test_nothing_can_be_changed_meanwhile(acme, staff):
    client = desk(staff)
    begin(client, acme)
    assert client.get("/admin/tenants/apikey/add/").status_code == 403
    answer = client.post("/admin/tenants/apikey/add/", {"name": "x", "scopes": ["inference"]})
    assert answer.status_code == 403 and "Nothing can be changed" in answer.content.decode()
    with acting_for(acme.tenant.id), tenant_scope():
        assert ApiKey.objects.count() == 1


def test_the_database_itself_refuses_to_write(acme, staff, monkeypatch):
    """A page that wrote by mistake on a GET would be refused by PostgreSQL."""
    client = desk(staff)
    begin(client, acme)

    def careless(*args, **kwargs):
        Tenant.objects.update(name="changed")

    monkeypatch.setattr("tenants.admin.audit.AuditEventAdmin.get_changelist", careless)
    with pytest.raises(InternalError, match="read-only"), transaction.atomic():
        client.get("/admin/tenants/auditevent/")


def test_the_tenant_finds_begin_and_end_in_its_own_log(acme, staff):
    client = desk(staff)
    begin(client, acme, reason="Ticket 4711")
    assert client.post("/admin/view-as/stop/").status_code == 302
    [started, ended] = log_of(acme)
    assert started[:2] == ("staff_view.started", "staff") and started[2]["reason"] == "Ticket 4711"
    assert ended == ("staff_view.ended", "staff", {"how": "stopped"})
    text = desk(seat(acme, "owner")).get("/admin/tenants/auditevent/").content.decode()
    assert "Ticket 4711" in text and "platform staff" in text.lower() and staff.email not in text
    assert staff.email in client.get("/admin/tenants/staffview/").content.decode()


def test_logging_out_ends_it(acme, staff):
    client = desk(staff)
    begin(client, acme)
    client.post("/admin/logout/")
    assert log_of(acme)[-1][2] == {"how": "logged out"}


def test_it_ends_by_itself_at_the_next_click_and_without_one(acme, staff):
    client = desk(staff)
    begin(client, acme)
    with acting_for(acme.tenant.id), tenant_scope():
        StaffView.objects.update(ends_at=datetime.now(UTC))
    assert client.get("/admin/tenants/apikey/", follow=True).status_code == 200
    assert "You view" not in client.get("/admin/").content.decode()
    assert log_of(acme)[-1] == ("staff_view.ended", "system", {"how": "its time was over"})
    now = datetime.now(UTC)
    start_view(tenant_id=acme.tenant.id, staff_id=staff.id, reason="again", now=now)
    assert end_overdue_views(now=now + timedelta(minutes=59)) == 0
    assert end_overdue_views(now=now + timedelta(minutes=60)) == 1
    assert end_overdue_views(now=now + timedelta(minutes=61)) == 0
    assert len(log_of(acme)) == 4


def test_it_needs_a_reason_a_tenant_and_staff(acme, staff):
    client = desk(staff)
    url = f"/admin/tenants/tenant/{acme.tenant.id}/view-as/"
    assert "Say why" in client.post(url, {"reason": "  "}, follow=True).content.decode()
    assert client.get(f"/admin/tenants/tenant/{uuid7()}/view-as/").status_code == 404
    owner = desk(seat(acme, "owner"))
    assert owner.get(url).status_code == owner.post(url, {"reason": "x"}).status_code == 403
    assert owner.post("/admin/view-as/stop/").status_code == 403
    assert log_of(acme) == []


def test_a_session_does_not_take_anothers_view(acme, staff):
    view = start_view(tenant_id=acme.tenant.id, staff_id=staff.id, reason="x", now=datetime.now(UTC))
    other = desk(User.objects.create_superuser("second", "second@platform.example"))
    session = other.session
    session["admin_staff_view"] = [str(acme.tenant.id), str(view.id)]
    session.save()
    assert "You view" not in other.get("/admin/", follow=True).content.decode()
    member = desk(seat(acme, "viewer"))
    session = member.session
    session["admin_staff_view"] = [str(acme.tenant.id), str(view.id)]
    session.save()
    assert member.get("/admin/tenants/apikey/").status_code == 403
