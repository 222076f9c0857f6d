"""Single sign-on against a real provider: who gets in where, and what a tenant's provider can never reach."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tenants.audit import COMMAND_LINE
from tenants.members import remove_member
from tenants.models import IdentityProvider, Membership, ProviderIdentity, Tenant, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.accounts.test_passwords import actions, log_in, person
from tests.tenants.admin_desk import plain_static_files, seat
from tests.tenants.single_sign_on.provider import OTHER_KEY, Provider, running

__all__ = ["plain_static_files"]

START = "/admin/login/sso/acme/"


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    settings.SSO_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    with running() as server:
        yield server


def set_up(member: Member, provider: Provider, **own: Any) -> None:
    """The tenant uses this provider, tested and on."""
    values = {"enabled": True, "tested_at": "2026-01-01T00:00Z", **own}
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        IdentityProvider.objects.update_or_create(
            tenant_id=tenant_id,
            defaults={
                "issuer": provider.issuer,
                "client_id": provider.client_id,
                "client_secret": provider.client_secret,
                **values,
            },
        )


def known(provider: Provider, subject: str, email: str, **claims: Any) -> None:
    provider.people[subject] = {"email": email, "email_verified": True, **claims}


_addresses = iter(range(1, 250))


def come_in(provider: Provider, subject: str, client: Client | None = None, query: str = "") -> tuple[Client, Any]:
    """From the log-in page to the provider and back; the browser and the last answer."""
    client = client or Client(REMOTE_ADDR=f"10.70.0.{next(_addresses)}")
    start = client.get(f"{START}{query}")
    assert start.status_code == 302, start.content
    return client, client.get(provider.log_in(start["Location"], subject))


def test_a_member_comes_in_by_a_verified_address_and_later_by_the_subject(acme, provider):
    user = seat(acme, "developer", "jane@acme.example")
    set_up(acme, provider)
    known(provider, "jane-1", "jane@ACME.example")
    client, answer = come_in(provider, "jane-1", query="?next=/admin/tenants/apikey/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/tenants/apikey/")
    assert client.get("/admin/tenants/apikey/").status_code == 200
    known(provider, "jane-1", "jane@new-name.example")
    client, _ = come_in(provider, "jane-1")
    assert client.get("/admin/").wsgi_request.user == user
    assert actions(acme).count("member.identified") == 1


def test_the_e_mail_may_come_from_userinfo(acme, provider):
    seat(acme, "developer", "jane@acme.example")
    set_up(acme, provider)
    provider.thin = True
    known(provider, "jane-1", "jane@acme.example")
    assert come_in(provider, "jane-1")[1]["Location"] == "/admin/"


# --- what a tenant's provider must never reach ---


def test_a_session_of_acmes_provider_opens_no_other_tenant(acme, globex, provider):
    seat(globex, "owner", "both@example.com")
    seat(acme, "viewer", "both@example.com")
    set_up(acme, provider)
    known(provider, "mallory", "both@example.com")
    client, _ = come_in(provider, "mallory")
    page = client.get("/admin/")
    assert "Acme" in page.content.decode() and "Globex" not in page.content.decode()
    assert client.get("/admin/tenants/apikey/").status_code == 403  # a viewer's seat, not globex's owner's
    assert "Globex" not in client.get("/admin/tenant/").content.decode()
    assert client.post("/admin/tenant/", {"tenant": str(globex.tenant.id)}).status_code == 404
    with acting_for(acme.tenant.id), tenant_scope():
        Membership.objects.get(user__email="both@example.com").delete()
    assert client.get("/admin/").status_code == 403


def test_it_makes_nobody_staff(acme, provider):
    boss = User.objects.create_superuser("boss", "boss@platform.example", "x")
    seat(acme, "viewer", boss.email)
    set_up(acme, provider)
    known(provider, "mallory", boss.email)
    client, _ = come_in(provider, "mallory")
    assert client.get("/admin/tenants/user/").status_code == 403
    assert client.get("/admin/").wsgi_request.visitor.tenant.slug == "acme"
    boss.refresh_from_db()
    assert boss.is_superuser  # what the session may not, the row still says


@pytest.mark.parametrize(
    "path", ["", "password/", "two-factor/", "two-factor/off/", "recovery-codes/", "sessions/end/", "confirm/"]
)
def test_it_opens_none_of_the_persons_account_pages(acme, provider, path):
    person(acme, "developer", "jane@acme.example")
    set_up(acme, provider)
    known(provider, "mallory", "jane@acme.example")
    client, _ = come_in(provider, "mallory")
    for answer in (client.get(f"/admin/account/{path}"), client.post(f"/admin/account/{path}", {"password1": "x"})):
        assert answer.status_code == 403
        assert "Managed by your organisation" in answer.content.decode()


def test_who_is_no_member_stays_out_unless_the_owner_lets_new_people_in(acme, globex, provider):
    seat(globex, "owner", "known@globex.example")
    set_up(acme, provider, email_domains=["acme.example"])
    known(provider, "one", "known@globex.example")
    known(provider, "two", "new@acme.example")
    assert "may not log in here" in come_in(provider, "one")[1].content.decode()
    assert "not a member of this organisation yet" in come_in(provider, "two")[1].content.decode()
    assert not User.objects.filter(email="new@acme.example").exists()
    set_up(acme, provider, email_domains=["acme.example"], admits_new=True)
    assert come_in(provider, "one")[1].status_code == 403
    client, answer = come_in(provider, "two")
    assert answer["Location"] == "/admin/"
    assert client.get("/admin/").wsgi_request.visitor.role == "viewer"
    with acting_for(acme.tenant.id):
        remove_member(membership_id=_membership("new@acme.example"), by=COMMAND_LINE)
    assert client.get("/admin/").status_code == 403
    assert "not a member of this organisation any more" in come_in(provider, "two")[1].content.decode()


def _membership(email: str) -> Any:
    with tenant_scope():
        return Membership.objects.get(user__email=email).id


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": "true"}, {"email_verified": None}])
def test_an_address_that_is_not_verified_is_nobodys(acme, provider, claims):
    seat(acme, "owner", "jane@acme.example")
    set_up(acme, provider)
    known(provider, "mallory", "jane@acme.example", **claims)
    client, answer = come_in(provider, "mallory")
    assert answer.status_code == 403 and "has verified" in answer.content.decode()
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "forge",
    [
        {"iss": "https://other.example"},
        {"aud": "another client"},
        {"exp": 1},
        {"nonce": "of another log-in"},
        {"azp": "another client"},
        {"sub": ""},
        {"sub": None},
    ],
)
def test_a_forged_answer_is_not_believed(acme, provider, forge):
    seat(acme, "owner", "jane@acme.example")
    set_up(acme, provider)
    known(provider, "jane-1", "jane@acme.example")
    provider.forge = forge
    client, answer = come_in(provider, "jane-1")
    assert answer.status_code == 403
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(("key", "algorithm"), [(OTHER_KEY, "RS256"), ("s/ecret:" * 5, "HS256"), (None, "none")])
def test_a_token_signed_otherwise_is_not_believed(acme, provider, key, algorithm):
    seat(acme, "owner", "jane@acme.example")
    set_up(acme, provider)
    known(provider, "jane-1", "jane@acme.example")
    provider.key, provider.algorithm = key, algorithm
    assert "not signed as it should be" in come_in(provider, "jane-1")[1].content.decode()


# --- answers that fit no question ---


def test_an_answer_is_good_once_and_in_its_own_browser(acme, globex, provider):
    seat(acme, "owner", "jane@acme.example")
    set_up(acme, provider)
    set_up(globex, provider)
    known(provider, "jane-1", "jane@acme.example")
    client = Client(REMOTE_ADDR="10.71.0.1")
    back = provider.log_in(client.get(START)["Location"], "jane-1")
    assert "began in this browser" in Client().get(back).content.decode()
    assert "began in this browser" in client.get(back.replace("/acme/", "/globex/")).content.decode()
    assert "began in this browser" in client.get(back).content.decode()  # it was used up
    back = provider.log_in(client.get(START)["Location"], "jane-1")
    assert "began in this browser" in client.get(back.replace("state=", "state=x")).content.decode()


def test_a_log_in_takes_ten_minutes_at_most(acme, provider, monkeypatch):
    set_up(acme, provider)
    known(provider, "jane-1", "jane@acme.example")
    client = Client(REMOTE_ADDR="10.71.0.2")
    back = provider.log_in(client.get(START)["Location"], "jane-1")
    late = time.time() + 601
    monkeypatch.setattr("tenants.single_sign_on.login.time.time", lambda: late)
    assert "longer than ten minutes" in client.get(back).content.decode()


def test_a_provider_that_refuses_or_is_down_is_said_to(acme, provider, settings):
    set_up(acme, provider)
    client = Client(REMOTE_ADDR="10.71.0.3")
    state = client.get(START)["Location"].split("state=")[1].split("&")[0]
    refused = client.get(f"{START}callback/?error=access_denied&error_description=<b>not+you</b>&state={state}")
    assert "The provider refused: &lt;b&gt;not you" in refused.content.decode()
    settings.SSO_ALLOWED_NETWORKS = []
    assert "not public" in client.get(START).content.decode()
    settings.SSO_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    set_up(acme, provider, issuer="http://127.0.0.1:9")
    page = client.get(START)
    assert page.status_code == 403 and "failed" in page.content.decode()
    assert "Back to log-in" in page.content.decode()


# --- finding it, requiring it, taking it off ---


def test_it_is_found_by_the_tenants_name_or_a_members_address(acme, globex, provider):
    seat(acme, "viewer", "jane@acme.example")
    set_up(acme, provider)
    client = Client(REMOTE_ADDR="10.72.0.1")
    for typed in ("acme", " Jane@ACME.example "):
        assert f"url={START}" in client.post("/admin/login/sso/", {"who": typed}).content.decode()
    for typed in ("globex", "nobody", "stranger@acme.example", "x@" + "y" * 200):
        page = client.post("/admin/login/sso/", {"who": typed}).content.decode()
        assert "We found no single sign-on for that" in page and "url=" not in page
    assert client.get("/admin/login/sso/globex/").status_code == 403
    answers = [client.post("/admin/login/sso/", {"who": "acme"}).status_code for _ in range(20)]
    assert answers[-1] == 429


def test_where_it_is_required_a_password_opens_other_tenants_and_the_owners_desk_only(acme, globex, provider):
    user = person(acme, "admin", "both@example.com")
    seat(globex, "viewer", "both@example.com")
    owner = person(acme)
    client = log_in(user)
    assert client.get("/admin/").status_code == 200
    set_up(acme, provider, enforced=True)
    page = client.get("/admin/")
    assert page.status_code == 403 and "Acme requires single sign-on" in page.content.decode()
    assert START in page.content.decode()
    client.post("/admin/tenant/", {"tenant": str(globex.tenant.id)})
    assert client.get("/admin/").status_code == 200
    assert log_in(owner).get("/admin/").status_code == 200


@pytest.mark.parametrize("change", [{"enabled": False}, {"issuer": "https://other.example"}, None])
def test_a_session_ends_with_the_provider_that_made_it(acme, provider, change):
    seat(acme, "viewer", "jane@acme.example")
    set_up(acme, provider)
    known(provider, "jane-1", "jane@acme.example")
    client, _ = come_in(provider, "jane-1")
    assert client.get("/admin/").status_code == 200
    with acting_for(acme.tenant.id), tenant_scope():
        rows = IdentityProvider.objects.all()
        rows.update(**change) if change else rows.delete()
    assert client.get("/admin/")["Location"] == "/admin/login/"
    assert "Log in again" in client.get("/admin/login/").content.decode()


def test_an_owner_sets_it_up_tests_it_and_requires_it(acme, provider):
    owner = person(acme)
    client = log_in(owner)
    form = {"issuer": provider.issuer, "client_id": provider.client_id, "email_domains": "@Acme.example, acme.example"}
    url = "/admin/sign-on/"
    assert "http://testserver/admin/login/sso/acme/callback/" in client.get(url).content.decode()
    assert "client secret is missing" in client.post(url, form).content.decode()
    form["client_secret"] = provider.client_secret
    assert client.post(url, form).status_code == 302
    assert "test it first" in client.post(url, form | {"enabled": "on", "enforced": "on"}).content.decode()
    known(provider, "owner-1", "owner@acme.example")
    _, tested = come_in(provider, "owner-1", client, "?test=1")
    assert "It works" in tested.content.decode() and "owner@acme.example" in tested.content.decode()
    del form["client_secret"]  # the one there is, stays
    assert client.post(url, form | {"enabled": "on", "enforced": "on"}).status_code == 302
    with acting_for(acme.tenant.id), tenant_scope():
        row = IdentityProvider.objects.get()
        assert not ProviderIdentity.objects.exists()  # a test logs nobody in
    assert (row.enforced, row.client_secret, row.email_domains) == (True, provider.client_secret, ["acme.example"])
    page = client.get(url).content.decode()
    assert provider.client_secret not in page
    assert client.post(url, {"remove": "1"}).status_code == 302
    assert actions(acme)[-3:] == ["identity_provider.changed"] * 2 + ["identity_provider.removed"]


def test_only_an_owner_changes_or_tests_it(acme, globex, provider):
    set_up(acme, provider, enabled=False)
    for client in (log_in(person(acme, "admin")), log_in(person(globex)), Client(REMOTE_ADDR="10.73.0.1")):
        assert client.get(f"{START}?test=1").status_code == 403
        assert client.post("/admin/sign-on/", {"remove": "1"}).status_code in (302, 403)
    with acting_for(acme.tenant.id), tenant_scope():
        assert IdentityProvider.objects.exists()
        assert Tenant.objects.get().slug == "acme"
