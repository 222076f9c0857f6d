"""Which models may answer a tenant's call, and at what price: fallbacks, canaries, variants, accounts of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections

from billing.models import Price, TenantPrice
from inference import aliases, own_deployments, variants
from inference.catalogue import (
    UnknownModel,
    all_deployments_of,
    deployments_of,
    forget_terms,
    grant,
    granted_models,
    terms,
)
from inference.models import Deployment, Fallback, Grant, Model, OwnAccountPrice, TenantDeployment, Variant
from inference.terms import Terms
from tenants.audit import COMMAND_LINE
from tenants.errors import AtriumError
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_remembered_terms() -> None:
    forget_terms()


NAMES = ("main", "second", "unpriced", "third")


@pytest.fixture(scope="module", autouse=True)
def _catalogue(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """`main` with the fallbacks `second`, `unpriced` and `third`; inputs at 1, 2 and 4 a million, outputs ten times that.

    Committed, because the tenants' role reads what another role writes.
    """
    with django_db_blocker.unblock():
        _register()
        connections["owner"].close()
    yield
    with django_db_blocker.unblock():
        for rows in (Fallback.objects.filter(model__name__in=NAMES), Deployment.objects.filter(model__name__in=NAMES)):
            rows.using("owner").delete()
        Model.objects.using("owner").filter(name__in=NAMES).delete()
        Price.objects.using("owner").filter(model__in=NAMES).delete()
        connections["owner"].close()


def _register() -> None:
    made = {}
    for amount, name in enumerate(NAMES, start=1):
        made[name] = Model.objects.using("owner").create(
            name=name, kind="chat", context_window=1000 * amount, max_output_tokens=100 * amount
        )
        Deployment.objects.using("owner").create(model=made[name], name=f"{name} here", provider="openai")
        if name != "unpriced":
            price(name, amount)
    for position, name in enumerate(NAMES[1:]):
        Fallback.objects.using("owner").create(model=made["main"], fallback=made[name], position=position)


def price(model: str, amount: int) -> None:
    for meter, times in (("input_tokens", 1), ("output_tokens", 10)):
        Price.objects.using("owner").create(
            model=model, meter=meter, currency="USD", amount=amount * times, valid_from=LONG_AGO
        )


@pytest.fixture
def user(acme: Member) -> Member:
    with acting_for(acme.tenant.id):
        grant(alias="main", model_name="main", by=COMMAND_LINE)
    return acme


def terms_of(member: Member, alias: str = "main") -> Terms:
    forget_terms()
    with acting_for(member.tenant.id):
        return terms(alias=alias, kind="chat", currency="USD")


def unit(found: Terms, model: str, meter: str = "input_tokens") -> Decimal:
    return found.prices[model, meter].amount


def account(member: Member, model: str = "main", **given: Any) -> TenantDeployment:
    said = {"name": f"own {model}", "provider": "openai", "base_url": "https://llm.example.com/v1", "api_key": "sk-own"}
    with acting_for(member.tenant.id):
        return own_deployments.create_deployment(model=model, given=said | given, by=COMMAND_LINE)


def variant(member: Member, name: str, *states: str, by_tenant: bool = False) -> Variant:
    with acting_for(member.tenant.id):
        row = variants.create_variant(
            name=name, base="main", adapter=f"{name}-lora", by=COMMAND_LINE, by_tenant=by_tenant
        )
        for state in states:
            row = variants.move_variant(variant_id=row.id, state=state, by=COMMAND_LINE)
    return row


TO_CANARY = ("evaluating", "candidate", "canary")
TO_LIVE = (*TO_CANARY, "live")


def alias(member: Member, name: str, target: str, **options: Any) -> Grant:
    said = {"canary_target": None, "canary_share": 0, "settings": {}} | options
    with acting_for(member.tenant.id):
        return aliases.create_alias(alias=name, target=target, by=COMMAND_LINE, **said)


def test_a_chain_is_the_model_and_its_priced_fallbacks_in_their_order(user: Member) -> None:
    found = terms_of(user)
    assert [(row.name, row.context_window, row.max_output_tokens) for row in found.chain] == [
        ("main", 1000, 100), ("second", 2000, 200), ("third", 4000, 400),
    ]  # fmt: skip
    assert (found.price("input_tokens"), found.most("input_tokens")) == (Decimal("0.000001"), Decimal("0.000004"))
    # The ledger's unknown calls stand under the first of these.
    assert next(iter(found.prices))[0] == "main"


def test_a_grant_may_forbid_fallbacks(user: Member) -> None:
    with acting_for(user.tenant.id), tenant_scope():
        Grant.objects.filter(alias="main").update(fallbacks=False)
    assert [row.name for row in terms_of(user).chain] == ["main"]


def test_a_tenants_own_account_goes_first_at_its_own_price_and_for_nobody_else(user: Member, globex: Member) -> None:
    own = account(user)
    with acting_for(globex.tenant.id):
        grant(alias="main", model_name="main", by=COMMAND_LINE)
    # Until the operator says something, the usual price holds.
    assert terms_of(user).chain[0].own and unit(terms_of(user), "main") == 1
    with acting_for(user.tenant.id):
        own_deployments.set_own_price(
            model="main", meter="input_tokens", amount=Decimal(0), currency="USD", by=COMMAND_LINE, now=LONG_AGO
        )
    assert (unit(terms_of(user), "main"), unit(terms_of(user), "main", "output_tokens")) == (0, 10)
    assert [row.own for row in terms_of(user).chain] == [True, False, False]
    # Its provider bills the tenant, so to the platform it is free; what others take nobody has said.
    takes = {model: price.provider_amount for (model, _), price in terms_of(user).prices.items()}
    assert (takes["main"], takes["second"]) == (0, None)
    with acting_for(user.tenant.id):
        assert deployments_of("main") == [own]
        assert [row.name for row in all_deployments_of("main")] == ["own main", "main here"]
    theirs = terms_of(globex)
    assert not theirs.chain[0].own and unit(theirs, "main") == 1
    with acting_for(globex.tenant.id):
        assert [row.name for row in all_deployments_of("main")] == ["main here"]
    # Without it, the price for the platform's servers holds again.
    with acting_for(user.tenant.id):
        own_deployments.change_deployment(deployment_id=own.id, changed={"enabled": False}, by=COMMAND_LINE)
    assert not terms_of(user).chain[0].own and unit(terms_of(user), "main") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"currency": "EUR"}, "billed in USD, not in EUR"),
        ({"amount": Decimal("NaN")}, "not negative, and at most 12 digits"),
        ({"amount": Decimal(-1)}, "not negative, and at most 12 digits"),
        ({"meter": "cache_hits"}, "Set a price for input_tokens, output_tokens"),
        ({}, "begins at this moment already"),
    ],
)
def test_a_price_of_an_own_account_that_could_not_hold_is_refused(
    user: Member, change: dict[str, Any], said: str
) -> None:
    price = {"model": "main", "meter": "input_tokens", "amount": Decimal(1), "currency": "USD", "now": LONG_AGO}
    with acting_for(user.tenant.id):
        own_deployments.set_own_price(**price, by=COMMAND_LINE)
        with pytest.raises(AtriumError, match=said):
            own_deployments.set_own_price(**{**price, **change}, by=COMMAND_LINE)
        with tenant_scope():
            assert OwnAccountPrice.objects.count() == 1


def test_a_live_variant_is_served_through_its_base_at_its_bases_price_or_its_own(user: Member) -> None:
    variant(user, "tone", *TO_LIVE)
    alias(user, "support", "ft:main:tone")
    found = terms_of(user, "support")
    assert (found.model, found.chain[0].served_by, found.chain[0].adapter) == ("ft:main:tone", "main", "tone-lora")
    assert (unit(found, "ft:main:tone"), found.max_output_tokens) == (1, 100)
    with acting_for(user.tenant.id), tenant_scope() as tenant_id:
        for meter in ("input_tokens", "output_tokens"):
            TenantPrice.objects.create(
                tenant_id=tenant_id, model="ft:main:tone", meter=meter, currency="USD", amount=7, valid_from=LONG_AGO
            )
    found = terms_of(user, "support")
    assert (unit(found, "ft:main:tone"), unit(found, "second")) == (7, 2)


def test_the_operators_variant_is_never_priced_as_the_tenants_own_account(user: Member) -> None:
    """Nor asked for there; and one that a tenant named is never asked for on the platform's servers."""
    account(user)
    with acting_for(user.tenant.id):
        own_deployments.set_own_price(
            model="main", meter="input_tokens", amount=Decimal(0), currency="USD", by=COMMAND_LINE, now=LONG_AGO
        )
    variant(user, "platforms", *TO_LIVE)
    variant(user, "tenants", *TO_LIVE, by_tenant=True)
    alias(user, "p", "ft:main:platforms")
    alias(user, "t", "ft:main:tenants")
    platforms, tenants = terms_of(user, "p"), terms_of(user, "t")
    assert (platforms.chain[0].own, unit(platforms, platforms.model)) == (False, 1)
    assert (tenants.chain[0].own, unit(tenants, tenants.model)) == (True, 0)


def test_only_live_variants_answer_and_a_retired_one_leaves_its_alias_unknown(user: Member, globex: Member) -> None:
    row = variant(user, "tone", *TO_LIVE)
    alias(user, "support", "ft:main:tone")
    with acting_for(user.tenant.id):
        assert "support" in [granted.alias for granted in granted_models()]
        variants.move_variant(variant_id=row.id, state="retired", by=COMMAND_LINE)
        assert "support" not in [granted.alias for granted in granted_models()]
    with pytest.raises(UnknownModel):
        terms_of(user, "support")
    with pytest.raises(UnknownModel):
        terms_of(globex, "support")


def test_a_canary_has_terms_of_its_own_while_it_is_served(user: Member) -> None:
    row = variant(user, "tone", *TO_CANARY)
    alias(user, "support", "main", canary_target="ft:main:tone", canary_share=30)
    found = terms_of(user, "support")
    assert (found.model, found.canary_share) == ("main", 30)
    assert (found.canary.model, found.canary.chain[0].adapter) == ("ft:main:tone", "tone-lora")
    # One price book for both, so that the choice costs no look-up.
    assert found.canary.prices is found.prices or found.canary.prices == found.prices
    with acting_for(user.tenant.id):
        variants.move_variant(variant_id=row.id, state="candidate", by=COMMAND_LINE)
    assert terms_of(user, "support").canary is None


def test_a_tenants_alias_has_the_operators_bounds_and_ends_with_the_operators_grant(user: Member) -> None:
    with acting_for(user.tenant.id), tenant_scope():
        Grant.objects.filter(alias="main").update(
            max_output_tokens=60, max_temperature=1.0, allowed_tools=["a", "b"], fallbacks=False
        )
    alias(
        user, "mine", "main",
        settings={"max_output_tokens": 80, "min_temperature": 0.5, "max_temperature": 1.5, "allowed_tools": ["b", "c"]},
    )  # fmt: skip
    found = terms_of(user, "mine")
    assert (found.max_output_tokens, found.rules.min_temperature, found.rules.max_temperature) == (60, 0.5, 1.0)
    assert found.rules.allowed_tools == {"b"} and len(found.chain) == 1
    with acting_for(user.tenant.id), tenant_scope():
        Grant.objects.filter(alias="main").delete()
    with pytest.raises(UnknownModel):
        terms_of(user, "mine")


def test_every_change_has_its_audit_row_without_a_secret(user: Member) -> None:
    own = account(user, api_key="sk-secret-1")
    with acting_for(user.tenant.id):
        own_deployments.change_deployment(
            deployment_id=own.id, changed={"api_key": "sk-secret-2", "weight": 5}, by=COMMAND_LINE
        )
        own_deployments.delete_deployment(deployment_id=own.id, by=COMMAND_LINE)
    row = variant(user, "tone", "evaluating")
    made = alias(user, "mine", "main")
    with acting_for(user.tenant.id):
        aliases.change_alias(grant_id=made.id, changed={"fallbacks": False}, by=COMMAND_LINE)
        aliases.delete_alias(grant_id=made.id, by=COMMAND_LINE)
        variants.delete_variant(variant_id=row.id, by=COMMAND_LINE)
    with acting_for(user.tenant.id), tenant_scope():
        events = list(AuditEvent.objects.order_by("id").values_list("action", "changes"))[-9:]
    assert [action for action, _ in events] == [
        "deployment.created", "deployment.changed", "deployment.deleted", "variant.created", "variant.moved",
        "grant.created", "grant.changed", "grant.deleted", "variant.deleted",
    ]  # fmt: skip
    assert events[1][1] == {"api_key": "set", "weight": 5}
    assert "sk-secret" not in str(events)
