"""The log-in and its limits, who is let in, and the choice between tenants."""

import pytest
from django.test import Client

from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.members import remove_member
from tenants.models import Membership, User
from tests.tenants.admin_desk import PAGES, desk, in_scope, plain_static_files, seat

__all__ = ["plain_static_files"]


def log_in(client: Client, username: str, password: str, address: str) -> int:
    data = {"username": username, "password": password, "next": "/admin/"}
    return client.post("/admin/login/", data, REMOTE_ADDR=address).status_code


@pytest.mark.parametrize("page", ["", *(f"{page}/" for page in PAGES), "tenant/", "autocomplete/"])
def test_a_stranger_is_sent_to_log_in(db, page):
    answer = Client().get(f"/admin/{page}")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("typed", ["owner@acme.example", " Owner@ACME.example "])
def test_a_member_logs_in_by_e_mail_and_sees_the_tenant(acme, typed):
    user = seat(acme, "owner")
    user.set_password("correct horse")
    user.save()
    client = Client()
    assert log_in(client, typed, "correct horse", "10.1.0.1") == 302
    assert "Acme" in client.get("/admin/").content.decode()


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(acme):
    seat(acme, "owner", email="known@acme.example")
    data = {"password": "guess"}
    texts = []
    for name in ("known@acme.example", "unknown@acme.example"):
        page = Client().post("/admin/login/", {**data, "username": name}, REMOTE_ADDR="10.5.0.1")
        texts.append(list(page.context["form"].non_field_errors()))
    assert texts == [["That e-mail address (or user name) and password do not belong together."]] * 2


def test_the_sixth_failure_on_a_name_is_429_even_with_the_right_password(acme):
    user = seat(acme, "owner", email="sixth@acme.example")
    user.set_password("correct horse")
    user.save()
    # A new address each time, so that only the name counts.
    failures = [log_in(Client(), user.email, "guess", f"10.2.0.{n}") for n in range(5)]
    assert failures == [200] * 5
    assert log_in(Client(), user.email, "correct horse", "10.2.0.9") == 429


def test_the_sixth_failure_from_an_address_is_429_whatever_the_name(db):
    failures = [log_in(Client(), f"nobody-{n}@address.example", "guess", "10.3.0.1") for n in range(5)]
    assert failures == [200] * 5
    assert log_in(Client(), "somebody-else@address.example", "guess", "10.3.0.1") == 429
    assert log_in(Client(), "somebody-else@address.example", "guess", "10.3.0.2") == 200


def test_logging_in_often_is_no_failure(acme):
    user = seat(acme, "owner", email="often@acme.example")
    user.set_password("correct horse")
    user.save()
    assert [log_in(Client(), user.email, "correct horse", "10.4.0.1") for _ in range(8)] == [302] * 8


def test_a_person_without_a_membership_is_told_so(db):
    answer = desk(User.objects.create_user("lost", "lost@example.com")).get("/admin/")
    assert answer.status_code == 403
    assert "not a member of any tenant" in answer.content.decode()


def test_a_removed_member_is_out_at_the_next_click(acme):
    seat(acme, "owner")
    client = desk(seat(acme, "admin"))
    assert client.get("/admin/").status_code == 200
    with in_scope(acme):
        remove_member(membership_id=Membership.objects.get(role="admin").id, by=COMMAND_LINE)
    assert client.get("/admin/").status_code == 403


def test_is_staff_alone_opens_nothing(db):
    user = User.objects.create_user("half", "half@example.com", is_staff=True)
    assert desk(user).get("/admin/tenants/apikey/").status_code == 403


def test_a_member_of_two_tenants_chooses(acme, globex):
    user = seat(acme, "viewer", email="both@example.com")
    seat(globex, "owner", email="both@example.com")
    client = desk(user)
    assert client.get("/admin/tenants/apikey/").status_code == 403
    choice = client.get("/admin/tenant/").content.decode()
    assert "Acme" in choice and "Globex" in choice
    assert client.post("/admin/tenant/", {"tenant": str(globex.tenant.id)}).status_code == 302
    assert client.get("/admin/tenants/apikey/").status_code == 200
    assert client.post("/admin/tenant/", {"tenant": str(uuid7())}).status_code == 404
