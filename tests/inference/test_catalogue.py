"""The catalogue: grants and their terms, whose deployments answer, and that nothing goes unpriced."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from billing.models import TenantPrice
from billing.prices import UnpricedModel
from inference.catalogue import (
    Terms,
    UnknownModel,
    deployments_of,
    forget_terms,
    grant,
    granted_models,
    register_model,
    remembered_terms,
    terms,
)
from inference.models import Grant, Model, TenantDeployment
from inference.reranking import reranker_for
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.models import AuditEvent
from tenants.registry import create_tenant
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.committed import _django_db_helper, committed

__all__ = ["_django_db_helper", "committed"]

#: For what staff writes and the app reads: two roles, so two connections, so committed rows.
on_committed_rows = pytest.mark.django_db(databases=["default", "owner", "staff"])


@pytest.fixture(autouse=True)
def _no_remembered_terms() -> None:
    forget_terms()


def terms_of(member: Member, alias: str, kind: str = "chat") -> Terms:
    with acting_for(member.tenant.id):
        return terms(alias=alias, kind=kind, currency="USD")


def give(member: Member, alias: str, model: str = "local-extractive", **options: Any) -> Grant:
    with acting_for(member.tenant.id):
        return grant(alias=alias, model_name=model, by=COMMAND_LINE, **options)


def test_a_new_tenant_may_use_the_models_inside_atrium(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        assert [row.alias for row in granted_models()] == ["all-MiniLM-L6-v2", "local-extractive"]


def test_a_tenant_of_another_currency_starts_without_models_that_have_no_price_in_it(db: None) -> None:
    tenant = create_tenant(slug="initech", name="Initech", currency="EUR", by=COMMAND_LINE)
    with acting_for(tenant.id):
        assert granted_models() == []
        with pytest.raises(UnpricedModel, match="EUR"):
            grant(alias="x", model_name="local-extractive", by=COMMAND_LINE)


def test_terms_are_the_models_bounds_and_the_tenants_prices(acme: Member) -> None:
    found = terms_of(acme, "local-extractive")
    assert (found.model, found.kind, found.context_window, found.max_output_tokens) == (
        "local-extractive",
        "chat",
        32_768,
        2_048,
    )
    # The list's 0.10 and 0.40 a million.
    assert (found.price("input_tokens"), found.price("output_tokens")) == (Decimal("0.0000001"), Decimal("0.0000004"))
    assert found.plan.slug == "standard"
    # A chat may embed its question.
    assert ("all-MiniLM-L6-v2", "embedding_tokens") in found.prices


def test_an_alias_has_its_models_terms_and_its_own_cap(acme: Member) -> None:
    give(acme, "support", max_output_tokens=100)
    give(acme, "large", max_output_tokens=1_000_000)
    assert (terms_of(acme, "support").model, terms_of(acme, "support").max_output_tokens) == ("local-extractive", 100)
    assert terms_of(acme, "large").max_output_tokens == 2_048


def test_a_contracts_price_goes_before_the_lists_for_its_tenant_only(acme: Member, globex: Member) -> None:
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        TenantPrice.objects.create(
            tenant_id=tenant_id, model="local-extractive", meter="input_tokens", currency="USD", amount=Decimal("0.05"),
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
    assert terms_of(acme, "local-extractive").price("input_tokens") == Decimal("0.00000005")
    assert terms_of(globex, "local-extractive").price("input_tokens") == Decimal("0.0000001")


def test_granting_again_points_the_alias_elsewhere_and_is_audited(acme: Member) -> None:
    first = give(acme, "mine", max_output_tokens=5)
    second = give(acme, "mine", "all-MiniLM-L6-v2")
    assert second.id == first.id and second.max_output_tokens is None
    with acting_for(acme.tenant.id), tenant_scope():
        actions = AuditEvent.objects.filter(object_id=str(first.id)).order_by("id").values_list("action", flat=True)
        assert list(actions) == ["grant.created", "grant.changed"]


@pytest.mark.parametrize("alias", ["gpt-99", "theirs", "all-MiniLM-L6-v2"])
def test_what_is_not_granted_as_this_kind_is_unknown_and_names_what_is(
    acme: Member, globex: Member, alias: str
) -> None:
    give(globex, "theirs")
    give(acme, "mine")
    with pytest.raises(UnknownModel) as unknown:
        terms_of(acme, alias)
    assert (unknown.value.status, unknown.value.code, unknown.value.param) == (404, "model_not_found", "model")
    assert unknown.value.message.endswith("Granted: local-extractive, mine.")


def test_a_model_that_is_not_in_the_catalogue_cannot_be_granted(acme: Member) -> None:
    with pytest.raises(NotFound):
        give(acme, "x", "gpt-99")


def test_terms_are_remembered_for_their_tenant_alone(acme: Member, globex: Member) -> None:
    give(acme, "mine")
    found = terms_of(acme, "mine")
    assert remembered_terms(acme.tenant.id, "mine", "chat") is found
    assert remembered_terms(globex.tenant.id, "mine", "chat") is None
    assert remembered_terms(acme.tenant.id, "mine", "embedding") is None


def test_a_tenants_own_deployments_go_before_the_platforms_and_serve_nobody_else(acme: Member, globex: Member) -> None:
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        model = Model.objects.get(name="local-extractive")
        own = TenantDeployment.objects.create(
            tenant_id=tenant_id,
            model=model,
            name="ours",
            provider="openai",
            base_url="http://ours.example/v1",
            api_key="sk-1",
        )
        TenantDeployment.objects.create(tenant_id=tenant_id, model=model, name="off", provider="openai", enabled=False)
    with acting_for(acme.tenant.id):
        assert deployments_of("local-extractive") == [own]
        assert deployments_of("local-extractive")[0].api_key == "sk-1"
    with acting_for(globex.tenant.id):
        assert [row.name for row in deployments_of("local-extractive")] == ["in the worker"]
        assert deployments_of("gpt-99") == []


@pytest.mark.parametrize(
    ("kind", "prices"),
    [
        ("chat", {}),
        ("chat", {"input_tokens": Decimal(1)}),
        ("chat", {"embedding_tokens": Decimal(1)}),
        ("embedding", {"input_tokens": Decimal(1), "output_tokens": Decimal(1)}),
        ("chat", {"input_tokens": Decimal(1), "output_tokens": Decimal(-1)}),
    ],
)
def test_a_model_without_its_prices_is_refused(db: None, kind: str, prices: dict[str, Decimal]) -> None:
    with pytest.raises(InvalidRequest):
        register_model(
            name="new", kind=kind, provider="openai", base_url="http://x.example/v1", upstream_model="", api_key="",
            prices=prices, currency="USD", context_window=10, max_output_tokens=5, now=datetime.now(UTC),
        )  # fmt: skip
    assert not Model.objects.filter(name="new").exists()


def run(name: str, *arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command(name, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def member_of(committed: Callable[[str], Member]) -> Iterator[Callable[[str], Member]]:
    """Makes committed members; the model `up` that a test registers goes again, with what refers to it."""
    yield committed
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        for table, column in (("grant", "model"), ("variant", "base"), ("deployment", "model"), ("fallback", "model")):
            named = "SELECT id FROM inference_model WHERE name = 'up'"
            cursor.execute(f"DELETE FROM inference_{table} WHERE {column}_id IN ({named})")
        cursor.execute("DELETE FROM inference_model WHERE name = 'up'")
        cursor.execute("DELETE FROM billing_price WHERE model = 'up'")


PRICED = ("--input-price=2.5", "--output-price=10")


@on_committed_rows
def test_commands_register_a_model_and_grant_it(member_of: Callable[[str], Member]) -> None:
    acme, globex = member_of("acme"), member_of("globex")
    said = run("register_model", "--name=up", "--base-url=http://up.example/v1", *PRICED, "--max-output-tokens=7")
    assert (said["name"], said["kind"]) == ("up", "chat")
    granted = run("grant_model", "--tenant=acme", "--model=up", "--alias=ours", "--max-output-tokens=5")
    assert (granted["alias"], granted["model"]) == ("ours", "up")
    found = terms_of(acme, "ours")
    assert (found.model, found.max_output_tokens, found.price("output_tokens")) == ("up", 5, Decimal("0.00001"))
    with acting_for(acme.tenant.id):
        [row] = deployments_of("up")
    assert (row.provider, row.base_url, row.upstream_model, row.api_key) == ("openai", "http://up.example/v1", "up", "")
    with pytest.raises(UnknownModel):
        terms_of(globex, "ours")


@on_committed_rows
def test_commands_say_what_a_model_can_who_stands_in_for_it_and_what_a_grant_allows(
    member_of: Callable[[str], Member],
) -> None:
    acme = member_of("acme")
    can = ("--capability=vision", "--capability=n", "--strategy=fastest", "--fallback=local-extractive")
    run("register_model", "--name=up", "--base-url=http://up.example/v1", *PRICED, *can)
    run("grant_model", "--tenant=acme", "--model=up", "--max-temperature=0.5", "--tool=weather")
    found = terms_of(acme, "up")
    assert [row.name for row in found.chain] == ["up", "local-extractive"]
    assert found.chain[0].capabilities == {"vision", "n"} and found.chain[1].capabilities == frozenset()
    assert (found.rules.max_temperature, found.rules.allowed_tools) == (0.5, {"weather"})
    for wrong in ("--fallback=up", "--fallback=nobody", "--fallback=all-MiniLM-L6-v2"):
        with pytest.raises(CommandError):
            run("register_model", "--name=up", "--base-url=http://up.example/v1", *PRICED, wrong)
    with pytest.raises(CommandError, match="lowest temperature"):
        run("grant_model", "--tenant=acme", "--model=up", "--max-temperature=0.5", "--min-temperature=1")
    # Granted anew: free again.
    run("grant_model", "--tenant=acme", "--model=up", "--no-fallbacks")
    forget_terms()
    assert (len(terms_of(acme, "up").chain), terms_of(acme, "up").rules.allowed_tools) == (1, None)
    variant = ("--tenant=acme", "--base=up", "--name=tone")
    assert run("register_variant", *variant, "--adapter=tone-lora")["state"] == "training"
    for state in ("evaluating", "candidate", "canary", "live"):
        assert run("register_variant", *variant, f"--state={state}") | {"id": ""} == {
            "id": "", "model": "ft:up:tone", "state": state,
        }  # fmt: skip
    price = ("--tenant=acme", "--model=up", "--meter=input_tokens")
    assert run("set_own_account_price", *price, "--amount=0")["amount"] == "0"
    with pytest.raises(CommandError, match="negative"):
        run("set_own_account_price", *price, "--amount=-1")


@on_committed_rows
def test_registering_again_adds_a_deployment_and_takes_the_key_from_standard_input(
    member_of: Callable[[str], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = member_of("acme")
    run("register_model", "--name=up", "--base-url=http://a.example/v1", *PRICED)
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-upstream\n"))
    run(
        "register_model",
        "--name=up",
        "--base-url=http://b.example/v1",
        "--api-key-stdin",
        "--upstream-model=big",
        *PRICED,
    )
    with acting_for(acme.tenant.id):
        rows = {row.base_url: (row.upstream_model, row.api_key) for row in deployments_of("up")}
    assert rows == {"http://a.example/v1": ("up", ""), "http://b.example/v1": ("big", "sk-upstream")}


@on_committed_rows
def test_a_bedrock_model_is_registered_with_its_region_and_credentials(
    member_of: Callable[[str], Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = member_of("acme")
    bedrock = ("--name=up", "--provider=bedrock", "--upstream-model=anthropic.claude", *PRICED)
    with pytest.raises(CommandError, match="needs a region"):
        run("register_model", *bedrock)
    with pytest.raises(CommandError, match=r"eu-central-1"):
        run("register_model", *bedrock, "--region=evil.example/x")
    for bad in ("half a key", '{"password": "x"}', '{"api_key": 1}', "[]"):
        monkeypatch.setattr("sys.stdin", io.StringIO(bad))
        with pytest.raises(CommandError) as refused:
            run("register_model", *bedrock, "--region=eu-central-1", "--credentials-stdin")
        assert bad not in str(refused.value)
    given = {"access_key_id": "AKID", "secret_access_key": "key"}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))
    run("register_model", *bedrock, "--region=eu-central-1", "--credentials-stdin")
    with acting_for(acme.tenant.id):
        [row] = deployments_of("up")
    assert (row.provider, row.region, row.upstream_model) == ("bedrock", "eu-central-1", "anthropic.claude")
    assert {name: getattr(row, name) for name in row.CREDENTIALS} == {**given, "api_key": "", "session_token": ""}


@on_committed_rows
def test_commands_say_in_a_line_why_they_refuse(member_of: Callable[[str], Member]) -> None:
    member_of("acme")
    with pytest.raises(CommandError, match="needs a price for output_tokens"):
        run("register_model", "--name=up", "--base-url=http://up.example/v1", "--input-price=1")
    with pytest.raises(CommandError, match="No model 'up'"):
        run("grant_model", "--tenant=acme", "--model=up")
    with pytest.raises(CommandError):
        run("grant_model", "--tenant=nobody", "--model=local-extractive")
    with pytest.raises(CommandError):
        run("register_model", "--name=up", "--base-url=http://up.example/v1", "--input-price=cheap", "--output-price=1")
    # Priced in another currency than the tenant's.
    run("register_model", "--name=up", "--base-url=http://up.example/v1", *PRICED, "--currency=EUR")
    with pytest.raises(CommandError, match="No price in USD"):
        run("grant_model", "--tenant=acme", "--model=up")


@on_committed_rows
def test_a_re_ranking_model_is_registered_granted_and_found_by_its_alias(member_of: Callable[[str], Member]) -> None:
    acme, globex = member_of("acme"), member_of("globex")
    run("register_model", "--name=judge", "--kind=rerank", "--base-url=http://up.example/v1", "--embedding-price=0.05")
    run("grant_model", "--tenant=acme", "--model=judge", "--alias=our-judge")
    with acting_for(acme.tenant.id):
        found = reranker_for("our-judge")
        assert found is not None and found.model == "judge"
        assert reranker_for("judge") is None and reranker_for("all-MiniLM-L6-v2") is None
    with acting_for(globex.tenant.id):
        assert reranker_for("our-judge") is None
    with pytest.raises(CommandError, match="needs a price for embedding_tokens"):
        run("register_model", "--name=judge2", "--kind=rerank", "--base-url=http://up.example/v1", "--input-price=1")
