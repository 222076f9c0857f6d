"""The playground's page and doors: what they offer, whom they give a key, what they say of a call, a former request."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.models import UsageRecord
from inference.advice import ADVICE
from inference.models import Generation, Model
from inference.prompts.definition import Definition
from inference.prompts.library import create_prompt
from inference.taxonomy import KINDS
from knowledge.models import VectorStore
from knowledge.vector_stores import create_store
from tenants.audit import COMMAND_LINE
from tenants.authentication import authenticate_key
from tenants.ids import public_id, uuid7
from tenants.models import ApiKey, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def data_of(page: Any) -> dict[str, Any]:
    """What the page gives its script."""
    found = re.search(r'<script id="playground-data" type="application/json">(.*?)</script>', page.content.decode())
    assert found
    return json.loads(found[1])


def call(member: Member, request: dict[str, Any] | None, *, kind: str = "chat", **fields: Any) -> Generation:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        row = Generation(
            tenant_id=tenant_id, kind=kind, state="completed", key_id=uuid7(), alias="local-extractive",
            model="local-extractive", request=request, terms={}, inbox="x", **fields,
        )  # fmt: skip
        row.save(force_insert=True)
    return row


def test_the_page_offers_the_tenants_models_with_their_prices(acme):
    data = data_of(desk(seat(acme, "developer")).get("/admin/playground/"))
    model = data["models"]["local-extractive"]
    assert model["prices"] == ["0.10 USD per million input tokens", "0.40 USD per million output tokens"]
    assert model["context_window"] == Model.objects.get(name="local-extractive").context_window
    assert "all-MiniLM-L6-v2" not in data["models"]


def test_the_newest_store_with_passages_is_searched_unless_a_prompt_is_tried(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        for name, passages in (("Old", 3), ("Handbook", 5), ("Empty", 0)):
            made = create_store(by=COMMAND_LINE, name=name)
            VectorStore.objects.filter(id=made.id).update(chunk_count=passages)
    client = desk(seat(acme, "developer"))
    ticked = r'name="store" value="vs_[0-9a-f]+" checked> <span>([^<]+)'
    assert re.findall(ticked, client.get("/admin/playground/").content.decode()) == ["Handbook"]
    assert re.findall(ticked, client.get("/admin/playground/?prompt=1").content.decode()) == []


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("developer", 200), ("viewer", 403), ("finance", 403)])
def test_roles_that_may_not_spend_see_neither_page_nor_key(acme, role, status):
    client = desk(seat(acme, role))
    assert client.get("/admin/playground/").status_code == status
    assert client.post("/admin/playground/key/", "{}", "application/json").status_code == status
    with acting_for(acme.tenant.id), tenant_scope():
        assert ApiKey.objects.filter(purpose="playground").count() == (status == 200)


def test_the_key_calls_the_api_for_half_an_hour_and_is_not_cached(acme):
    before = datetime.now(UTC)
    answer = desk(seat(acme, "developer")).post("/admin/playground/key/", '{"groups": ["board"]}', "application/json")
    caller = authenticate_key(answer.json()["key"])
    assert caller.groups == {"board"}
    assert "no-store" in answer["Cache-Control"]
    ends = datetime.fromtimestamp(answer.json()["expires_at"], UTC)
    assert before + timedelta(minutes=29) < ends < before + timedelta(minutes=31)


@pytest.mark.parametrize("body", ["{", "[]", '{"groups": [7]}', '{"groups": " "}'])
def test_a_bad_request_for_a_key_is_refused_and_makes_none(acme, body):
    answer = desk(seat(acme, "developer")).post("/admin/playground/key/", body, "application/json")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    with acting_for(acme.tenant.id), tenant_scope():
        assert not ApiKey.objects.filter(purpose="playground").exists()


def test_staff_are_told_to_choose_a_tenant_and_get_no_key(db):
    client = desk(User.objects.create_superuser("staff", "staff@atrium.example"))
    assert "belongs to a tenant" in client.get("/admin/playground/").content.decode()
    assert client.post("/admin/playground/key/", "{}", "application/json").status_code == 400


def test_a_call_is_told_what_it_cost(acme):
    row = call(acme, {"model": "local-extractive", "messages": []})
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        UsageRecord.objects.create(
            tenant_id=tenant_id, reservation_id=uuid7(), request_id=row.id, attempt=1, operation="chat", model="m",
            meter="input_tokens", quantity=1, unit_price=1, per=1, cost=Decimal("0.25"), currency="USD",
            period_start="2026-01-01",
        )  # fmt: skip
    client = desk(seat(acme, "developer"))
    for ident in (public_id("chatcmpl-", row.id), public_id("resp_", row.id), row.id.hex, str(row.id)):
        said = client.get(f"/admin/playground/calls/{ident}/").json()
        assert (said["state"], said["cost"], said["currency"]) == ("completed", "0.25", "USD")


def test_a_former_chat_stands_in_the_form(acme):
    row = call(
        acme,
        {
            "model": "local-extractive",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "<script>alert(1)</script>"},
                {"role": "assistant", "content": "No."},
                {"role": "user", "content": [{"type": "text", "text": "And?"}, {"type": "image_url", "image_url": {}}]},
            ],
            "temperature": 0.5,
            "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        },
    )
    page = desk(seat(acme, "developer")).get("/admin/playground/", {"from": str(row.id)})
    former = data_of(page)["former"]
    assert former["instructions"] == "Be brief."
    assert former["turns"] == [["user", "<script>alert(1)</script>"], ["assistant", "No."], ["user", "And?"]]
    assert former["stores"] == ["vs_1"]
    assert former["parameters"] == {"temperature": 0.5, "format": "json_schema", "schema": {"type": "object"}}
    assert former["left_out"] == ["images and files"]
    assert "<script>alert" not in page.content.decode()


def test_a_former_response_stands_in_the_form(acme):
    items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Why?"}]}]
    request = {"model": "local-extractive", "instructions": "Be kind.", "input": items, "max_output_tokens": 64}
    row = call(acme, request, kind="response")
    former = data_of(desk(seat(acme, "developer")).get(f"/admin/playground/?from={public_id('resp_', row.id)}"))[
        "former"
    ]
    assert (former["instructions"], former["turns"]) == ("Be kind.", [["user", "Why?"]])
    assert former["parameters"] == {"max_output_tokens": 64}


@pytest.mark.parametrize("asked", ["nonsense", "01900000-0000-7000-8000-000000000000", "resp_x"])
def test_an_id_that_is_none_is_said_on_the_page(acme, asked):
    page = desk(seat(acme, "developer")).get("/admin/playground/", {"from": asked})
    assert "There is no such request" in page.content.decode()


def test_contents_that_are_gone_are_said_on_the_page(acme):
    row = call(acme, None)
    page = desk(seat(acme, "developer")).get("/admin/playground/", {"from": str(row.id)})
    assert "no longer kept" in page.content.decode()
    assert data_of(page)["former"] is None


def test_a_prompts_versions_come_with_their_variables(acme):
    with acting_for(acme.tenant.id):
        definition = Definition.model_validate(
            {"messages": [{"role": "system", "content": "Greet {{name}}."}], "variables": {"name": {"type": "string"}}}
        )
        prompt = create_prompt(name="greeting", by=COMMAND_LINE, now=NOW, definition=definition, labels=["production"])
    client = desk(seat(acme, "developer"))
    assert "greeting" in client.get("/admin/playground/").content.decode()
    said = client.get(f"/admin/playground/prompts/{prompt.id}/").json()
    assert said["id"] == public_id("pmpt_", prompt.id)
    assert [(row["number"], list(row["variables"])) for row in said["versions"]] == [(1, ["name"])]


def test_another_tenants_calls_and_prompts_answer_like_missing_ones(acme, globex):
    row = call(acme, {"model": "local-extractive", "messages": [{"role": "user", "content": "acmemark"}]})
    with acting_for(acme.tenant.id):
        prompt = create_prompt(name="acmemark", by=COMMAND_LINE, now=NOW)
    stranger = desk(seat(globex, "owner"))
    for url in ("/admin/playground/calls/{}/", "/admin/playground/prompts/{}/", "/admin/playground/?from={}"):
        answers = []
        for ident in (row.id if "prompts" not in url else prompt.id, uuid7()):
            page = stranger.get(url.format(ident))
            text = re.sub(r'value="\w{64}"', "", page.content.decode()).replace(str(ident), "")
            assert "acmemark" not in text
            answers.append((page.status_code, text))
        assert answers[0] == answers[1], url


def test_every_code_has_its_advice():
    assert set(ADVICE) == set(KINDS)
