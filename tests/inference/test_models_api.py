"""`/v1/models`: exactly what the tenant was granted, in the shapes of the `openai` SDK."""

import pytest
from openai.types import Model as SDKModel

from inference.catalogue import forget_terms, grant
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.scope import acting_for
from tests.conftest import Member

BUILT_IN = ["all-MiniLM-L6-v2", "local-extractive"]


@pytest.fixture(autouse=True)
def _no_remembered_terms() -> None:
    forget_terms()


def give(member: Member, alias: str) -> None:
    with acting_for(member.tenant.id):
        grant(alias=alias, model_name="local-extractive", by=COMMAND_LINE)


def test_a_tenant_lists_what_it_was_granted_and_nothing_else(acme: Member, globex: Member) -> None:
    give(acme, "acme/support:v2")
    body = acme.client.get("/v1/models").json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == sorted([*BUILT_IN, "acme/support:v2"])
    assert [model["id"] for model in globex.client.get("/v1/models").json()["data"]] == sorted(BUILT_IN)


def test_every_entry_is_the_sdks_model_with_nothing_left_out(acme: Member) -> None:
    for entry in acme.client.get("/v1/models").json()["data"]:
        model = SDKModel.model_validate(entry, strict=True)
        assert entry.keys() == {"id", "object", "created", "owned_by"}
        assert (model.object, model.owned_by) == ("model", "atrium")
        assert model.created > 1_700_000_000


def test_an_id_may_hold_slashes_and_colons_plain_or_escaped(acme: Member) -> None:
    give(acme, "meta/llama-3:8b-instruct")
    for path in ("meta/llama-3:8b-instruct", "meta%2Fllama-3%3A8b-instruct"):
        answer = acme.client.get(f"/v1/models/{path}")
        assert answer.status_code == 200
        assert answer.json()["id"] == "meta/llama-3:8b-instruct"


def test_an_unknown_model_is_404_and_names_those_granted(acme: Member) -> None:
    answer = acme.client.get("/v1/models/gpt-imaginary")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["param"], error["type"]) == ("model_not_found", "model", "invalid_request_error")
    assert "gpt-imaginary" in error["message"]
    assert all(name in error["message"] for name in BUILT_IN)


def test_another_tenants_model_answers_like_one_that_does_not_exist(acme: Member, globex: Member) -> None:
    give(acme, "acme-only")
    stranger = globex.client.get("/v1/models/acme-only")
    missing = globex.client.get("/v1/models/nobodys-one")
    assert stranger.status_code == missing.status_code == 404
    assert stranger.json()["error"]["message"].replace("acme-only", "nobodys-one") == missing.json()["error"]["message"]


def test_a_key_without_the_scope_is_refused(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        _, key = issue(name="files only", scopes=["files.read"], by=COMMAND_LINE)
    for path in ("/v1/models", "/v1/models/local-extractive"):
        answer = Member(acme.tenant, key).client.get(path)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "insufficient_scope"


def test_without_a_key_nothing_is_listed(client) -> None:
    answer = client.get("/v1/models")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
