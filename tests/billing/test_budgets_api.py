"""Budgets over REST."""

import pytest

from billing.reservations import settle
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.models import ApiKey
from tenants.scope import acting_for, tenant_scope
from tests.billing.conftest import Till, tokens


def key_of(member):
    with acting_for(member.tenant.id), tenant_scope():
        return ApiKey.objects.get().id


def test_a_budget_is_set_and_says_what_is_left(acme, till):
    made = acme.client.post("/v1/budgets", {"name": "monthly", "limit": "5.00"})
    assert made.status_code == 200, made.content
    body = made.json()
    assert (body["object"], body["name"], body["api_key_id"], body["currency"]) == ("budget", "monthly", None, "USD")
    assert (body["limit"], body["spent"], body["held"], body["left"]) == ("5.00", "0.00", "0.00", "5.00")
    paid, _ = till.hold("1.00")
    till.hold("0.25")
    with till.acting():
        settle(paid, tokens(1_000, 0))
    page = acme.client.get("/v1/budgets").json()
    (budget,) = page["data"]
    assert (budget["spent"], budget["held"], budget["left"]) == ("0.0025", "0.25", "4.7475")
    assert (page["object"], page["has_more"], page["first_id"]) == ("list", False, body["id"])


def test_setting_it_again_changes_the_limit(acme):
    first = acme.client.post("/v1/budgets", {"name": "monthly", "limit": "5.00"}).json()
    second = acme.client.post("/v1/budgets", {"name": "monthly", "limit": "0.5"}).json()
    assert second == {**first, "limit": "0.50", "left": "0.50"}


def test_a_budget_of_one_key(acme):
    ident = public_id("key_", key_of(acme))
    body = {"name": "app", "limit": "1", "api_key_id": ident}
    assert acme.client.post("/v1/budgets", body).json()["api_key_id"] == ident
    refused = acme.client.post("/v1/budgets", {"name": "app", "limit": "1"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "budget_conflict")


def test_foreign_and_missing_keys_answer_alike(acme, globex):
    answers = [
        acme.client.post("/v1/budgets", {"name": "b", "limit": "1", "api_key_id": ident})
        for ident in (public_id("key_", key_of(globex)), public_id("key_", uuid7()), "key_x")
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(400, answers[0].content)}


def test_another_tenants_budgets_are_not_listed(acme, globex):
    Till(globex.tenant.id).budget("9")
    page = acme.client.get("/v1/budgets").json()
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize("limit", ["-1", "lots", None, "NaN", "Infinity", "1e400", "0.0000000000001", 10**13, {}])
def test_a_limit_that_is_no_amount_is_400(acme, limit):
    response = acme.client.post("/v1/budgets", {"name": "b", "limit": limit})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "limit")


@pytest.mark.parametrize(("scopes", "read", "write"), [(["budgets.read"], 200, 403), (["budgets.write"], 403, 200)])
def test_reading_and_writing_have_scopes_of_their_own(acme, scopes, read, write):
    with acting_for(acme.tenant.id):
        _, key = issue(name="n", scopes=scopes, by=COMMAND_LINE)
    client = acme.client
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert client.get("/v1/budgets").status_code == read
    assert client.post("/v1/budgets", {"name": "b", "limit": "1"}).status_code == write
