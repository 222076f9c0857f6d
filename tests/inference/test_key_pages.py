"""The pages of API keys: bounds that hold, snippets that run, a rotation without a gap, an end."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from billing.models import Budget
from inference.admin.key_forms import SCOPES_SAY
from inference.catalogue import UnknownModel, check_key, terms
from tenants import api_keys
from tenants.api_keys import InvalidKey, parse_key, verify
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest
from tenants.ids import uuid7
from tenants.models import ApiKey, AuditEvent
from tenants.permissions import KEY_SCOPES
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def key_on(text: str) -> str:
    [key] = set(re.findall(r"sk-[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{48}", text))
    return key


def add(client: Client, **answers: object) -> str:
    form = {"name": "bot", "scopes": ["inference"], "expires_in": "", **answers}
    answer = client.post("/admin/tenants/apikey/add/", form)
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    return answer.content.decode()


@pytest.fixture
def developer(acme: Member) -> Client:
    return desk(seat(acme, "developer"))


def test_every_scope_is_said_in_plain_words():
    assert set(SCOPES_SAY) == KEY_SCOPES


def test_a_key_of_one_model_and_fifty_a_month(acme, developer):
    text = add(developer, models=["local-extractive"], monthly_budget="50", expires_in="30")
    key = key_on(text)
    with acting_for(acme.tenant.id), tenant_scope():
        row = ApiKey.objects.get(name="bot")
        budget = Budget.objects.get(key_id=row.id)
        assert (budget.limit, budget.period, budget.hard) == (Decimal(50), "month", True)
        assert timedelta(days=29) < row.expires_at - datetime.now(UTC) < timedelta(days=31)
        check_key(terms(alias="local-extractive", kind="chat", currency="USD"), row.id)
        with pytest.raises(UnknownModel):
            check_key(terms(alias="all-MiniLM-L6-v2", kind="embedding", currency="USD"), row.id)
    models = Client().get("/v1/models", headers={"Authorization": f"Bearer {key}"}).json()["data"]
    assert [model["id"] for model in models] == ["local-extractive"]
    page = developer.get(f"/admin/tenants/apikey/{row.id}/change/").content.decode()
    assert "local-extractive" in page and "50.00 of 50.00 USD" in page
    assert "50.00 of 50.00 USD" in developer.get("/admin/tenants/apikey/").content.decode()


def test_the_snippets_name_this_deployment_and_a_model_that_the_key_may_use(acme, developer):
    text = add(developer, models=["local-extractive"])
    for said in ("http://testserver/v1", "local-extractive", "curl", "from openai import OpenAI", "import OpenAI from"):
        assert said in text, said
    assert text.count(key_on(text)) == 2  # where it is read, and behind the button that copies it
    assert "from openai" not in add(developer, models=["all-MiniLM-L6-v2"])
    assert "from openai" not in add(developer, scopes=["files.read"])


def test_a_model_that_is_not_granted_is_not_taken(acme, developer):
    answer = developer.post("/admin/tenants/apikey/add/", {"name": "bot", "scopes": ["inference"], "models": ["gpt"]})
    assert answer.status_code == 200 and "not one of the available choices" in answer.content.decode()
    with acting_for(acme.tenant.id), tenant_scope():
        assert ApiKey.objects.count() == 1


def test_an_old_secret_goes_on_for_the_overlap_and_no_longer(acme):
    with acting_for(acme.tenant.id):
        row, old = api_keys.issue(name="bot", scopes=["inference"], by=COMMAND_LINE)
        row, new = api_keys.rotate(key_id=row.id, overlap=timedelta(hours=1), by=COMMAND_LINE, now=NOW)
        before, after = NOW + timedelta(minutes=59), NOW + timedelta(minutes=60)
        assert verify(parse_key(old), now=before).key_id == verify(parse_key(new), now=before).key_id == row.id
        assert verify(parse_key(old), now=before).expires_at == after  # no process remembers it for longer
        assert verify(parse_key(new), now=after).expires_at is None
        with pytest.raises(InvalidKey):
            verify(parse_key(old), now=after)
        _, newest = api_keys.rotate(key_id=row.id, overlap=timedelta(), by=COMMAND_LINE, now=before)
        for ended in (old, new):
            with pytest.raises(InvalidKey):
                verify(parse_key(ended), now=before)
        assert verify(parse_key(newest), now=before).key_prefix == row.prefix
        api_keys.revoke(key_id=row.id, by=COMMAND_LINE, now=NOW)
        with pytest.raises(InvalidRequest, match="has ended"):
            api_keys.rotate(key_id=row.id, overlap=timedelta(), by=COMMAND_LINE, now=NOW)


def test_a_key_is_rotated_and_revoked_on_its_pages(acme, developer):
    old = key_on(add(developer))
    with acting_for(acme.tenant.id), tenant_scope():
        row = ApiKey.objects.get(name="bot")
    assert "24 hours" in developer.get(f"/admin/tenants/apikey/{row.id}/rotate/").content.decode()
    new = key_on(developer.post(f"/admin/tenants/apikey/{row.id}/rotate/", {"overlap": "24"}).content.decode())
    assert new != old
    for key in (old, new):
        assert Client().get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert developer.post(f"/admin/tenants/apikey/{row.id}/revoke/").status_code == 302
    for key in (old, new):
        assert Client().get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    answer = developer.post(f"/admin/tenants/apikey/{row.id}/rotate/", {"overlap": "24"}, follow=True)
    assert "has ended" in answer.content.decode()
    with acting_for(acme.tenant.id), tenant_scope():
        done = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert done[-3:] == ["api_key.issued", "api_key.rotated", "api_key.revoked"]


def test_another_tenants_key_is_neither_rotated_nor_revoked(acme, globex):
    with acting_for(acme.tenant.id), tenant_scope():
        ApiKey.objects.update(name="acmemark")
        row = ApiKey.objects.get()
    stranger = desk(seat(globex, "owner"))
    for door in ("rotate", "revoke"):
        found = []
        for key_id in (row.id, uuid7()):
            url = f"/admin/tenants/apikey/{key_id}/{door}/"
            posted = stranger.post(url, follow=True)
            said = [str(message) for message in posted.context["messages"]]
            found.append((stranger.get(url).status_code, posted.status_code, said))
            assert "acmemark" not in posted.content.decode()
        assert found[0] == found[1] == (404, 200, ["No such API key."])
    with acting_for(acme.tenant.id), tenant_scope():
        assert ApiKey.objects.get().revoked_at is None
