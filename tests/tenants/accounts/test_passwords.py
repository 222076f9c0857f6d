"""The doors of the admin: passwords changed and reset, sessions ended, what an account's changes leave behind."""

import re

import pytest
from django.test import Client

from tenants.accounts.sessions import device
from tenants.models import AuditEvent, Letter, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

PASSWORD = "correct horse battery"


def person(member: Member, role: str = "owner", email: str = "") -> User:
    """A member with a password."""
    user = seat(member, role, email)
    user.set_password(PASSWORD)
    user.save()
    return user


def log_in(user: User, password: str = PASSWORD, address: str = "10.60.0.1") -> Client:
    """A browser at which the password was typed."""
    client = Client(REMOTE_ADDR=address)
    client.post("/admin/login/", {"username": user.email, "password": password})
    return client


def letters(member: Member) -> list[Letter]:
    with acting_for(member.tenant.id), tenant_scope():
        return list(Letter.objects.order_by("id"))


def actions(member: Member) -> list[str]:
    with acting_for(member.tenant.id), tenant_scope():
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def link_in(letter: Letter) -> str:
    [path] = re.findall(r"http://testserver(/admin/login/reset/\S+)", letter.text)
    return path


@pytest.mark.parametrize("path", ["account/", "account/password/", "account/two-factor/", "account/recovery-codes/"])
def test_a_stranger_logs_in_before_an_account_page(db, path):
    answer = Client().get(f"/admin/{path}")
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next=/admin/{path}")


def test_log_in_leads_to_the_page_that_was_asked_for_but_never_out_of_the_admin(acme):
    user = person(acme)
    for wanted, reached in (
        ("/admin/tenants/apikey/", "/admin/tenants/apikey/"),
        ("https://evil.example/admin/", "/admin/"),
        ("//evil.example/admin/", "/admin/"),
        ("/v1/docs", "/admin/"),
    ):
        form = {"username": user.email, "password": PASSWORD, "next": wanted}
        assert Client(REMOTE_ADDR="10.60.0.2").post("/admin/login/", form)["Location"] == reached


def test_a_person_out_of_service_is_told_so_and_a_session_of_theirs_ends(acme):
    user = person(acme)
    client = log_in(user)
    assert client.get("/admin/").status_code == 200
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    form = {"username": user.email, "password": PASSWORD}
    page = Client(REMOTE_ADDR="10.60.0.3").post("/admin/login/", form)
    assert "out of service" in page.content.decode()


def test_a_forgotten_password_is_set_by_the_link_once(acme, settings):
    settings.EMAIL_URL = "filemail://"
    user = person(acme)
    open_elsewhere = log_in(user)
    client = Client(REMOTE_ADDR="10.61.0.1")
    assert client.post("/admin/login/reset/", {"email": user.email.upper()})["Location"] == "/admin/login/reset/sent/"
    [letter] = letters(acme)
    assert letter.recipient == user.email
    form = client.get(link_in(letter), follow=True)
    assert link_in(letter) not in form.request["PATH_INFO"]  # the key does not stay in the address
    new = {"password1": "staple and paper clip", "password2": "staple and paper clip"}
    answer = client.post(form.request["PATH_INFO"], new)
    assert answer["Location"] == "/admin/login/"
    assert open_elsewhere.get("/admin/").status_code == 302
    assert log_in(user, "staple and paper clip").get("/admin/").status_code == 200
    assert "newer password was set" in client.get(link_in(letter), follow=True).content.decode()
    assert actions(acme)[-1] == "account.password_reset"
    assert letters(acme)[-1].subject == "Your password was set anew by a link in an e-mail"


def test_a_reset_answers_alike_for_addresses_nobody_has(acme, settings):
    settings.EMAIL_URL = "filemail://"
    user = person(acme)
    client = Client(REMOTE_ADDR="10.61.0.2")
    answers = [client.post("/admin/login/reset/", {"email": to}) for to in (user.email, "nobody@acme.example")]
    assert [(a.status_code, a["Location"]) for a in answers] == [(302, "/admin/login/reset/sent/")] * 2
    assert len(letters(acme)) == 1


def test_the_sixth_letter_for_one_address_is_429_wherever_it_is_asked_for(db):
    asked = [
        Client(REMOTE_ADDR=f"10.62.0.{n}").post("/admin/login/reset/", {"email": "often@acme.example"}).status_code
        for n in range(6)
    ]
    assert asked == [302] * 5 + [429]


def test_changing_the_password_ends_the_other_sessions_and_tells_every_tenant(acme, globex, settings):
    settings.EMAIL_URL = "filemail://"
    user = person(acme, email="both@example.com")
    seat(globex, "viewer", email="both@example.com")
    here, there = log_in(user), log_in(user)
    form = {"oldpassword": PASSWORD, "password1": "staple and paper clip", "password2": "staple and paper clip"}
    assert "not your current password" in (
        here.post("/admin/account/password/", {**form, "oldpassword": "guess"}).content.decode()
    )
    assert here.post("/admin/account/password/", form)["Location"] == "/admin/account/"
    assert here.get("/admin/account/").status_code == 200
    assert there.get("/admin/account/").status_code == 302
    assert actions(acme)[-1] == actions(globex)[-1] == "account.password_changed"
    assert [letter.recipient for letter in letters(acme)] == ["both@example.com"]
    assert letters(globex) == []


def test_a_session_is_ended_from_another(acme):
    user = person(acme)
    here, there, third = log_in(user), log_in(user, address="10.60.9.9"), log_in(user)
    page = here.get("/admin/account/")
    assert [row.current for row in page.context["sessions"]] == [True, False, False]
    [other] = [row for row in page.context["sessions"] if row.address == "10.60.9.9"]
    here.post("/admin/account/sessions/end/", {"session": other.id})
    assert [c.get("/admin/account/").status_code for c in (here, there, third)] == [200, 302, 200]
    here.post("/admin/account/sessions/end/")
    assert [c.get("/admin/account/").status_code for c in (here, third)] == [200, 302]


def test_nobody_ends_another_persons_session(acme):
    owner, admin = person(acme), person(acme, "admin")
    theirs, mine = log_in(owner), log_in(admin)
    [row] = theirs.get("/admin/account/").context["sessions"]
    for given in (str(row.id), "-1", "9" * 30, "x"):
        mine.post("/admin/account/sessions/end/", {"session": given})
    assert theirs.get("/admin/account/").status_code == 200


def test_a_device_is_named_in_plain_words():
    edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0"
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1"
    assert [device(edge), device(phone), device("")] == ["Edge on Windows", "Safari on iPhone", "Another browser"]


@pytest.mark.parametrize("page", ["", "signup/", "email/", "3rdparty/", "passkey/"])
def test_what_is_off_is_not_there(acme, page):
    client = desk(seat(acme, "owner"))
    assert client.get(f"/admin/account/{page or 'signup/'}").status_code == 404
