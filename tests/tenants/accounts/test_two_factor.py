"""The second factor: set up, asked for, required by a tenant, lost."""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from tenants.encryption import decrypt
from tenants.models import Tenant, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.accounts.test_passwords import PASSWORD, actions, letters, log_in, person
from tests.tenants.admin_desk import plain_static_files, seat

__all__ = ["plain_static_files"]


def code_of(secret: str, *, later: int = 0) -> str:
    """What an app with this key shows now, or some half minutes later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + later))


def turn_on(client: Client) -> str:
    """Set it up as a person does; returns the key."""
    page = client.get("/admin/account/two-factor/").content.decode()
    [secret] = re.findall(r"<code>([A-Z2-7]{32})</code>", page)
    answer = client.post("/admin/account/two-factor/", {"code": code_of(secret)})
    assert answer["Location"] == "/admin/account/recovery-codes/"
    return secret


def require(member: Member) -> None:
    with acting_for(member.tenant.id), tenant_scope():
        Tenant.objects.update(requires_mfa=True)


def test_it_is_set_up_asked_for_at_log_in_and_kept_encrypted(acme, settings):
    settings.EMAIL_URL = "filemail://"
    user = person(acme)
    client = log_in(user)
    secret = turn_on(client)
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in stored and decrypt(stored) == secret
    fresh = log_in(user)
    assert fresh.get("/admin/")["Location"].startswith("/admin/login/")
    assert "That code is not right" in fresh.post("/admin/login/code/", {"code": "000000"}).content.decode()
    assert fresh.post("/admin/login/code/", {"code": code_of(secret)})["Location"] == "/admin/"
    assert fresh.get("/admin/").status_code == 200


def test_a_code_opens_once(acme):
    user = person(acme)
    secret = turn_on(log_in(user))
    code = code_of(secret)
    first, second = log_in(user), log_in(user)
    assert first.post("/admin/login/code/", {"code": code}).status_code == 302
    assert second.post("/admin/login/code/", {"code": code}).status_code == 200
    assert second.get("/admin/").status_code == 302


def test_codes_cannot_be_guessed(acme):
    user = person(acme)
    secret = turn_on(log_in(user))
    client = log_in(user)
    for _ in range(5):
        client.post("/admin/login/code/", {"code": "000000"})
    page = client.post("/admin/login/code/", {"code": code_of(secret)})
    assert page.status_code == 200
    assert "Wait five minutes" in page.content.decode()


def test_a_recovery_code_opens_once_and_the_codes_can_be_downloaded(acme):
    user = person(acme)
    client = log_in(user)
    turn_on(client)
    codes = client.get("/admin/account/recovery-codes/").context["unused_codes"]
    assert len(codes) == 10
    assert codes[9] in client.get("/admin/account/recovery-codes/download/").content.decode()
    lost = log_in(user)
    assert lost.post("/admin/login/code/", {"code": codes[0]})["Location"] == "/admin/"
    assert log_in(user).post("/admin/login/code/", {"code": codes[0]}).status_code == 200
    assert lost.get("/admin/account/").context["codes_left"] == 9


def test_a_tenant_that_requires_it_leads_members_to_set_it_up_first(acme):
    user = person(acme)
    client = log_in(user)
    assert client.get("/admin/tenants/apikey/").status_code == 200
    require(acme)
    answer = client.get("/admin/tenants/apikey/")  # a session that began before
    assert answer["Location"] == "/admin/account/two-factor/?next=%2Fadmin%2Ftenants%2Fapikey%2F"
    assert client.post("/admin/tenants/apikey/add/", {"name": "x"})["Location"] == "/admin/account/two-factor/"
    assert "Acme requires it" in client.get("/admin/account/").content.decode()
    turn_on(client)
    assert client.get("/admin/tenants/apikey/").status_code == 200


def test_a_session_that_began_without_gives_a_code(acme):
    user = person(acme)
    early, client = log_in(user), log_in(user)
    secret = turn_on(client)
    require(acme)
    answer = early.get("/admin/tenants/apikey/")
    assert answer["Location"].startswith("/admin/account/confirm/code/")
    code = {"code": code_of(secret)}
    assert early.post(answer["Location"], code)["Location"] == "/admin/tenants/apikey/"
    assert early.get("/admin/tenants/apikey/").status_code == 200


def test_another_tenant_of_the_person_does_not_ask_for_it(acme, globex):
    user = person(acme, email="both@example.com")
    seat(globex, "viewer", email="both@example.com")
    require(acme)
    client = log_in(user)
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/tenant/").status_code == 200
    client.post("/admin/tenant/", {"tenant": str(globex.tenant.id)})
    assert client.get("/admin/").status_code == 200


def test_only_the_owner_requires_it(acme):
    url = f"/admin/tenants/tenant/{acme.tenant.id}/change/"
    form = {"name": "Acme", "content_retention_days": 30, "allocation_tags": "", "requires_mfa": "on"}
    for role, required in (("admin", False), ("owner", True)):
        log_in(person(acme, role)).post(url, form)
        with acting_for(acme.tenant.id), tenant_scope():
            assert Tenant.objects.get().requires_mfa is required
    assert "tenant.changed" in actions(acme)


def test_staff_need_it_where_the_setting_says_so(db, settings):
    settings.STAFF_REQUIRES_TWO_FACTOR = True
    boss = User.objects.create_superuser("boss", "boss@platform.example", PASSWORD)
    client = log_in(boss)
    assert client.get("/admin/")["Location"].startswith("/admin/account/two-factor/")
    turn_on(client)
    assert client.get("/admin/tenants/tenant/").status_code == 200


def test_it_is_turned_off_after_the_password_once_more(acme, settings, monkeypatch):
    settings.EMAIL_URL = "filemail://"
    user = person(acme)
    client = log_in(user)
    turn_on(client)
    monkeypatch.setattr("tenants.accounts.adapter._FRESH_SECONDS", -1)  # the log-in is a while ago
    answer = client.post("/admin/account/two-factor/off/")
    assert answer["Location"] == "/admin/account/confirm/?next=%2Fadmin%2Faccount%2Ftwo-factor%2Foff%2F"
    assert Authenticator.objects.filter(type="totp").exists()
    monkeypatch.undo()
    page = client.post("/admin/account/confirm/", {"password": "guess", "next": "/admin/account/two-factor/off/"})
    assert "password is not right" in page.content.decode()
    client.post("/admin/account/confirm/", {"password": PASSWORD, "next": "/admin/account/two-factor/off/"})
    assert not Authenticator.objects.exists()
    assert actions(acme)[-1] == "account.two_factor_disabled"
    assert letters(acme)[-1].subject == "Two-factor authentication was turned off"


@pytest.mark.parametrize("path", ["login/", "login/reset/", "account/", "account/password/"])
def test_the_pages_are_kept_nowhere(acme, path):
    client = Client() if path.startswith("login/") else log_in(person(acme))
    assert "no-store" in client.get(f"/admin/{path}")["Cache-Control"]
