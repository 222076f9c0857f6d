"""`/v1/deployments`, `/v1/variants` and `/v1/grants`: what a tenant manages itself, and what it may not."""

from typing import Any

import pytest

from inference.catalogue import forget_terms
from inference.models import TenantDeployment
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

ACCOUNT = {
    "name": "ours", "model": "local-extractive", "provider": "openai", "base_url": "https://llm.example.com/v1",
    "api_key": "sk-very-secret",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_remembered_terms() -> None:
    forget_terms()


def post(member: Member, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = member.client.post(f"/v1/{path}", body, format="json")
    return answer.status_code, answer.json()


def test_credentials_are_written_and_never_read_back(acme: Member) -> None:
    status, made = post(acme, "deployments", **ACCOUNT)
    assert (status, made["credentials"], made["upstream_model"]) == (201, ["api_key"], "local-extractive")
    path = f"deployments/{made['id']}"
    assert post(acme, path, weight=3, max_concurrent=4)[1]["weight"] == 3
    shown = [acme.client.get(f"/v1/{path}").content, acme.client.get("/v1/deployments").content]
    assert not any(b"sk-very-secret" in text for text in shown)
    with acting_for(acme.tenant.id), tenant_scope():
        assert TenantDeployment.objects.get().api_key == "sk-very-secret"
    # They do not follow to another address, where somebody may be waiting for them.
    assert post(acme, path, base_url="https://elsewhere.example.com/v1")[1]["credentials"] == []
    assert acme.client.delete(f"/v1/{path}").json()["deleted"] is True
    assert acme.client.get(f"/v1/{path}").status_code == 404


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"base_url": "https://169.254.169.254/v1"}, "base_url"),
        ({"base_url": "http://llm.example.com/v1"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"provider": "local-extractive"}, "provider"),
        ({"provider": "bedrock", "base_url": "", "api_key": "", "region": "eu-central-1"}, "api_key"),
        ({"provider": "bedrock", "region": "eu-central-1"}, "base_url"),
        ({"weight": 0}, "weight"),
        ({"model": "all-MiniLM-L6-v2"}, "model"),
        ({"model": "gpt-imaginary"}, "model"),
        ({"name": ""}, "name"),
    ],
)
def test_accounts_that_cannot_be_are_refused_by_name(acme: Member, changed: dict[str, Any], param: str) -> None:
    status, body = post(acme, "deployments", **{**ACCOUNT, **changed})
    assert (status, body["error"]["param"]) == (404 if changed.get("model") == "gpt-imaginary" else 400, param)
    assert acme.client.get("/v1/deployments").json()["data"] == []


def test_a_variant_goes_from_state_to_state_and_only_forward_or_back_as_it_may(acme: Member) -> None:
    status, made = post(acme, "variants", name="tone", base="local-extractive")
    assert (status, made["model"], made["state"]) == (201, "ft:local-extractive:tone", "training")
    path = f"variants/{made['id']}"
    assert post(acme, path, state="live")[1]["error"]["code"] == "variant_state"
    assert post(acme, path, state="evaluating")[0] == 200
    status, refused = post(acme, path, state="candidate")
    assert (status, refused["error"]["param"]) == (400, "adapter")
    assert post(acme, path, adapter="tone-lora")[1]["adapter"] == "tone-lora"
    for state in ("candidate", "canary", "live"):
        assert post(acme, path, state=state)[1]["state"] == state
    status, refused = post(acme, path, adapter="another")
    assert (status, refused["error"]["code"]) == (409, "variant_state")
    assert post(acme, path, state="retired")[1]["next_states"] == []
    assert post(acme, "variants", name="tone", base="local-extractive")[0] == 409
    assert post(acme, "variants", name="a b", base="local-extractive")[0] == 400
    assert post(acme, "variants", name="x", base="gpt-imaginary")[0] == 404


def test_aliases_are_the_tenants_and_the_operators_grants_are_not(acme: Member) -> None:
    status, made = post(
        acme, "grants", alias="acme/support:v2", target="local-extractive", max_temperature=0.5, allowed_tools=[]
    )
    assert (status, made["made_by"], made["allowed_tools"]) == (201, "tenant", [])
    assert "acme/support:v2" in [row["id"] for row in acme.client.get("/v1/models").json()["data"]]
    path = f"grants/{made['id']}"
    assert post(acme, path, max_temperature=None)[1]["max_temperature"] is None
    assert post(acme, "grants", alias="acme/support:v2", target="local-extractive")[1]["error"]["code"] == "alias_taken"
    assert post(acme, "grants", alias="local-extractive", target="local-extractive")[0] == 409
    platforms = next(row for row in acme.client.get("/v1/grants").json()["data"] if row["made_by"] == "platform")
    for answer in (
        acme.client.post(f"/v1/grants/{platforms['id']}", {"fallbacks": False}, format="json"),
        acme.client.delete(f"/v1/grants/{platforms['id']}"),
    ):
        assert answer.status_code == 403
    assert acme.client.delete(f"/v1/{path}").status_code == 200
    assert "acme/support:v2" not in [row["id"] for row in acme.client.get("/v1/models").json()["data"]]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"target": "gpt-imaginary"}, 404, "target"),
        ({"target": "ft:local-extractive:nobodys"}, 404, "target"),
        ({"canary_share": 10}, 400, "canary_share"),
        ({"canary_share": 101}, 400, "canary_share"),
        ({"canary_target": "all-MiniLM-L6-v2", "canary_share": 10}, 400, "canary_target"),
        ({"min_temperature": 1, "max_temperature": 0.5}, 400, "min_temperature"),
        ({"max_temperature": 0.5, "default_temperature": 0.7}, 400, "default_temperature"),
        ({"max_temperature": 3}, 400, "max_temperature"),
        ({"alias": "with space"}, 400, "alias"),
    ],
)
def test_aliases_that_contradict_themselves_are_refused(
    acme: Member, body: dict[str, Any], status: int, param: str
) -> None:
    answered, refused = post(acme, "grants", **{"alias": "a", "target": "local-extractive", **body})
    assert (answered, refused["error"]["param"]) == (status, param)


def test_a_variant_in_use_is_not_forgotten_and_one_in_training_is_no_target(acme: Member) -> None:
    _, made = post(acme, "variants", name="tone", base="local-extractive", adapter="tone-lora")
    target = {"alias": "support", "target": "ft:local-extractive:tone"}
    status, refused = post(acme, "grants", **target)
    assert (status, refused["error"]["param"]) == (400, "target")
    for state in ("evaluating", "candidate", "canary", "live"):
        post(acme, f"variants/{made['id']}", state=state)
    assert post(acme, "grants", **target)[0] == 201
    answer = acme.client.delete(f"/v1/variants/{made['id']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
