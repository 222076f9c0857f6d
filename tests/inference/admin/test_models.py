"""What a member sees of models and variants: prices in force, why one cannot be used, the way of a variant."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import TenantPrice
from inference.model_cards import model_cards, why_unusable
from inference.models import Grant, Model, TenantDeployment, Variant
from inference.variants import create_variant
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIST = "/admin/inference/grant/"


def variant_of(member: Member, state: str = "training", adapter: str = "lora-1") -> Variant:
    with acting_for(member.tenant.id), tenant_scope():
        row = create_variant(name="support", base="local-extractive", adapter=adapter, by=COMMAND_LINE)
        Variant.objects.filter(id=row.id).update(state=state)
    return row


def cards(member: Member):
    with acting_for(member.tenant.id):
        return {card.grant.alias: card for card in model_cards(now=datetime.now(UTC))}


def test_the_list_shows_each_alias_with_what_the_tenant_pays(acme):
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        TenantPrice.objects.create(
            tenant_id=tenant_id, model="local-extractive", meter="input_tokens", currency="USD", amount=Decimal("7.25"),
            per=1_000_000, valid_from=NOW,
        )  # fmt: skip
    text = desk(seat(acme, "viewer")).get(LIST).content.decode()
    assert "7.25 USD per million input tokens" in text and "0.40 USD per million output tokens" in text
    assert "all-MiniLM-L6-v2" in text and "Embedding models" in text


def test_more_aliases_cost_no_more_queries(acme):
    with acting_for(acme.tenant.id):
        with CaptureQueriesContext(connection) as few:
            model_cards(now=NOW)
        with tenant_scope() as tenant_id:
            model = Model.objects.get(name="local-extractive")
            for number in range(20):
                Grant.objects.create(tenant_id=tenant_id, alias=f"more-{number}", model=model, by_tenant=True)
        with CaptureQueriesContext(connection) as many:
            assert len(model_cards(now=NOW)) == 22
    assert len(many) <= len(few)


def test_an_alias_of_a_variant_that_is_not_live_says_so(acme):
    variant = variant_of(acme, "candidate")
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        grant = Grant.objects.create(
            tenant_id=tenant_id, alias="mine", model=variant.base, variant=variant, by_tenant=True
        )
    card = cards(acme)["mine"]
    assert (card.target, card.unusable) == (
        "ft:local-extractive:support", "The variant support is candidate; an alias answers once it is live.",
    )  # fmt: skip
    assert [price.plain for price in card.prices] == [price.plain for price in cards(acme)["local-extractive"].prices]
    assert "cannot be used" in desk(seat(acme, "owner")).get(f"{LIST}{grant.id}/change/").content.decode()


def test_a_model_out_of_service_says_so_unless_another_stands_in():
    gone = Grant(alias="x", model=Model(name="x", out_of_service_since=NOW, out_of_service_reason="internal"))
    assert why_unusable(gone, usable=True, stood_in=False) == "The platform took the model out of service for now."
    assert why_unusable(gone, usable=True, stood_in=True) == ""


def test_own_accounts_are_named_and_their_credentials_never_shown(acme):
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        grant = Grant.objects.select_related("model").get(alias="local-extractive")
        TenantDeployment.objects.create(
            tenant_id=tenant_id, model=grant.model, name="our cluster", provider="openai",
            base_url="https://llm.acme.example/v1", api_key="sk-verysecret",
        )  # fmt: skip
    text = desk(seat(acme, "owner")).get(f"{LIST}{grant.id}/change/").content.decode()
    assert "our cluster" in text and "your own account" in text and "verysecret" not in text
    assert "answers" in text


def test_a_variant_goes_step_by_step_and_each_step_is_audited(acme):
    row, client = variant_of(acme), desk(seat(acme, "admin"))
    url = f"/admin/variants/{row.id}/"
    assert client.get(f"/admin/inference/variant/{row.id}/change/")["Location"] == url
    assert client.post(url, {"state": "evaluating"}).status_code == 302
    refused = client.post(url, {"state": "live"}, follow=True).content.decode()
    assert "After &#x27;evaluating&#x27; comes" in refused
    with acting_for(acme.tenant.id), tenant_scope():
        assert Variant.objects.get().state == "evaluating"
        assert AuditEvent.objects.get(action="variant.moved").changes == {"state": ["training", "evaluating"]}


@pytest.mark.parametrize(
    ("role", "looks", "moves"), [("owner", 200, 302), ("developer", 200, 403), ("finance", 403, 403)]
)
def test_who_may_look_and_who_may_move(acme, role, looks, moves):
    url, client = f"/admin/variants/{variant_of(acme).id}/", desk(seat(acme, role))
    assert client.get(url).status_code == looks
    assert client.post(url, {"state": "evaluating"}).status_code == moves


def test_another_tenants_variant_is_missing(acme, globex):
    client = desk(seat(globex, "owner"))
    for ident in (variant_of(acme).id, uuid7()):
        assert client.get(f"/admin/variants/{ident}/").status_code == 404
        assert client.post(f"/admin/variants/{ident}/", {"state": "evaluating"}).status_code == 404
    with acting_for(acme.tenant.id), tenant_scope():
        assert Variant.objects.get().state == "training"


def test_members_grant_nothing(acme):
    client = desk(seat(acme, "owner"))
    form = {"alias": "free", "model": str(Model.objects.get(name="local-extractive").id)}
    assert client.post(f"{LIST}add/", form).status_code == 403
    assert "free" not in cards(acme)
