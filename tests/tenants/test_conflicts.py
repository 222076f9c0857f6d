"""Two admins change one thing: the second is told who changed what, and nothing that she typed is lost."""

import re

import pytest
from django.test import Client

from billing.models import Budget
from tenants.models import IdentityProvider, Tenant
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


def mark_in(page: str) -> str:
    """The mark that a page carries."""
    found = re.search(r'name="_seen" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def shown(client: Client, url: str) -> str:
    """The mark of the page as it is now."""
    return mark_in(client.get(url).content.decode())


@pytest.fixture
def settings_page(acme: Member) -> str:
    return f"/admin/tenants/tenant/{acme.tenant.id}/change/"


def name_of(member: Member) -> str:
    with acting_for(member.tenant.id), tenant_scope():
        return Tenant.objects.get().name


def test_the_second_is_told_and_keeps_what_she_typed(acme, settings_page):
    maria, peter = (desk(seat(acme, "owner", email=f"{name}@acme.example")) for name in ("maria", "peter"))
    hers, his = shown(maria, settings_page), shown(peter, settings_page)
    assert (
        maria.post(settings_page, {"name": "Of Maria", "content_retention_days": "30", "_seen": hers}).status_code
        == 302
    )
    answer = peter.post(settings_page, {"name": "Of Peter", "content_retention_days": "7", "_seen": his})
    text = answer.content.decode()
    assert answer.status_code == 200 and name_of(acme) == "Of Maria"
    assert "maria@acme.example" in text and "Acme → Of Maria" in text.replace("&gt;", ">")
    assert 'value="Of Peter"' in text and 'value="7"' in text
    form = {"name": "Of Peter", "content_retention_days": "7", "_seen": mark_in(text)}
    assert peter.post(settings_page, form).status_code == 302
    assert name_of(acme) == "Of Peter"


def test_who_is_alone_is_told_nothing(acme, settings_page):
    client = desk(seat(acme, "owner"))
    for name in ("First", "Second"):
        form = {"name": name, "content_retention_days": "30", "_seen": shown(client, settings_page)}
        assert client.post(settings_page, form).status_code == 302
    assert name_of(acme) == "Second"


@pytest.mark.parametrize("mark", ["", "x", "x.y", f"x.{'9' * 30}", "\x00.1"])
def test_a_mark_that_is_none_breaks_nothing(acme, settings_page, mark):
    client = desk(seat(acme, "owner"))
    form = {"name": "New", "content_retention_days": "30", "_seen": mark}
    assert client.post(settings_page, form).status_code in (200, 302)


def test_what_is_refused_is_said_in_the_form_with_what_was_typed(acme):
    client = desk(seat(acme, "owner"))
    form = {"name": "cap", "limit": "99999999999999", "period": "month", "alert_shares": "80"}
    answer = client.post("/admin/billing/budget/add/", form)
    text = answer.content.decode()
    assert answer.status_code == 200 and 'value="cap"' in text and 'value="99999999999999"' in text
    with acting_for(acme.tenant.id), tenant_scope():
        assert not Budget.objects.exists()


def test_on_a_page_that_is_no_lists_form_the_second_is_told_too(acme):
    maria, peter = (desk(seat(acme, "owner", email=f"{name}@acme.example")) for name in ("maria", "peter"))
    page = "/admin/sign-on/"
    hers, his = shown(maria, page), shown(peter, page)
    form = {"issuer": "https://id.acme.example", "client_id": "maria", "client_secret": "secret"}
    assert maria.post(page, {**form, "_seen": hers}).status_code == 302
    text = peter.post(page, {**form, "client_id": "peter", "_seen": his}).content.decode()
    assert "maria@acme.example" in text and 'value="peter"' in text
    with acting_for(acme.tenant.id), tenant_scope():
        assert IdentityProvider.objects.get().client_id == "maria"
    assert peter.post(page, {**form, "client_id": "peter", "_seen": mark_in(text)}).status_code == 302
