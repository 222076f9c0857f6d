"""Which price holds. List prices are written by staff, as in production, so these tests commit."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from unittest.mock import ANY

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from billing.models import Plan, PlanAllowance, Price, ProviderPrice, TenantAllowance, TenantPrice
from billing.prices import Allowance, UnitPrice, UnpricedModel, price_of, prices_of, quote
from tenants.ids import uuid7
from tenants.scope import acting_for, as_staff, tenant_scope

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NEED = ("m", "input_tokens")


class Shop:
    """Prices of one meter of one model, and what acme would pay."""

    def __init__(self, tenant_id):
        self.tenant_id = tenant_id

    def list(self, amount, *, plan=None, days_ago=10, currency="USD"):
        with as_staff():
            Price.objects.create(
                plan=plan and Plan.objects.get(slug=plan), model="m", meter="input_tokens", currency=currency,
                amount=Decimal(amount), valid_from=NOW - timedelta(days=days_ago),
            )  # fmt: skip

    def contract(self, amount, *, days_ago=10):
        with acting_for(self.tenant_id), tenant_scope() as tenant_id:
            TenantPrice.objects.create(
                tenant_id=tenant_id, model="m", meter="input_tokens", currency="USD", amount=Decimal(amount),
                valid_from=NOW - timedelta(days=days_ago),
            )  # fmt: skip

    def quote(self, *, now=NOW, currency="USD"):
        with acting_for(self.tenant_id):
            return quote(needs=[NEED], currency=currency, now=now)[NEED].amount


@pytest.fixture
def shop(committed) -> Iterator[Shop]:
    yield Shop(committed("acme").tenant.id)
    with as_staff():
        Price.objects.filter(model="m").delete()
        ProviderPrice.objects.all().delete()


def test_a_contract_goes_before_the_plan_and_the_plan_before_the_list(shop):
    shop.list("3.00")
    assert shop.quote() == Decimal("3.00")
    shop.list("2.00", plan="standard", days_ago=20)
    assert shop.quote() == Decimal("2.00")
    shop.contract("1.00", days_ago=30)
    assert shop.quote() == Decimal("1.00")


def test_a_price_of_another_plan_does_not_hold(shop):
    shop.list("3.00")
    shop.list("2.00", plan="scale")
    assert shop.quote() == Decimal("3.00")


def test_a_contract_of_another_tenant_does_not_hold(shop, committed):
    shop.list("3.00")
    Shop(committed("globex").tenant.id).contract("1.00")
    assert shop.quote() == Decimal("3.00")


def test_the_newest_price_that_is_valid_holds(shop):
    shop.list("3.00", days_ago=10)
    shop.list("4.00", days_ago=1)
    shop.list("5.00", days_ago=-1)
    assert shop.quote() == Decimal("4.00")
    assert shop.quote(now=NOW - timedelta(days=2)) == Decimal("3.00")
    assert shop.quote(now=NOW + timedelta(days=1)) == Decimal("5.00")


def test_a_price_holds_from_its_very_moment(shop):
    shop.list("3.00", days_ago=0)
    assert shop.quote() == Decimal("3.00")
    with pytest.raises(UnpricedModel):
        shop.quote(now=NOW - timedelta(microseconds=1))


def test_no_price_is_refused_and_named(shop):
    shop.list("3.00", currency="EUR")
    with pytest.raises(UnpricedModel, match="No price in USD for m input_tokens"):
        shop.quote()


def test_two_prices_of_one_moment_are_refused(shop):
    shop.list("3.00")
    with pytest.raises(IntegrityError, match="billing_price_once"), as_staff(), transaction.atomic(using="staff"):
        shop.list("4.00")


@pytest.mark.parametrize("change", ["update", "delete"])
def test_contracted_prices_are_never_changed(shop, change):
    shop.contract("1.00")
    with pytest.raises(ProgrammingError, match="permission denied"):
        with acting_for(shop.tenant_id), tenant_scope():
            rows = TenantPrice.objects.all()
            rows.update(amount=0) if change == "update" else rows.delete()


def test_the_app_cannot_write_list_prices(shop):
    with pytest.raises(ProgrammingError, match="permission denied"):
        with acting_for(shop.tenant_id), tenant_scope():
            Price.objects.create(model="m", meter="input_tokens", currency="USD", amount=0, valid_from=NOW)


def test_cost_is_amount_times_quantity_over_per():
    price = UnitPrice(uuid7(), "m", "input_tokens", Decimal("2.50"), 1_000_000)
    assert price.cost(123) == Decimal("0.0003075")


def test_a_price_reads_well():
    price = Price(model="m", meter="input_tokens", amount=Decimal("2.50"), currency="USD", per=1000)
    assert str(price) == "m input_tokens: 2.50 USD per 1000"


def test_a_wish_is_quoted_where_it_has_a_price_and_missed_by_nobody_where_not(shop):
    shop.list("3.00")
    wish = ("m", "cached_input_tokens")
    with acting_for(shop.tenant_id):
        prices = quote(needs=[NEED], wishes=[wish], currency="USD", now=NOW)
        assert prices.keys() == {NEED}
        # The rule where the model has no price of its own: cached input as input.
        assert price_of(prices, "m", "cached_input_tokens") is prices[NEED]
    with as_staff():
        for meter in ("cached_input_tokens", "reasoning_tokens"):
            Price.objects.create(
                model="m", meter=meter, currency="USD", amount=Decimal("0.30"), valid_from=NOW - timedelta(days=1)
            )
    with acting_for(shop.tenant_id):
        # What was neither needed nor wished for is not in the quote, priced or not.
        prices = quote(needs=[NEED], wishes=[wish], currency="USD", now=NOW)
        assert {key: price.amount for key, price in prices.items()} == {NEED: Decimal("3.00"), wish: Decimal("0.30")}
        assert price_of(prices, "m", "cached_input_tokens").amount == Decimal("0.30")
        # Its price is dated as any other's.
        assert quote(needs=[NEED], wishes=[wish], currency="USD", now=NOW - timedelta(days=2)).keys() == {NEED}
        with pytest.raises(KeyError):
            price_of(prices, "m", "reasoning_tokens")


def test_a_quote_says_the_list_price_the_cost_and_the_tiers(shop):
    shop.list("3.00")
    with as_staff():
        Price.objects.create(
            plan=Plan.objects.get(slug="standard"), model="m", meter="input_tokens", currency="USD", per=1_000,
            amount=Decimal("0.002"), tiers=[[1_000_000, "0.0015"], [5_000_000, "0.001"]], valid_from=NOW,
        )  # fmt: skip
        for provider, amount, per in (("", "1.50", 1_000_000), ("bedrock", "0.0018", 1_000), ("", "9", 1_000_000)):
            later = timedelta(days=1) if amount == "9" else timedelta(0)
            ProviderPrice.objects.create(
                model="m", meter="input_tokens", provider=provider, currency="USD", amount=Decimal(amount), per=per,
                valid_from=NOW + later,
            )  # fmt: skip
    with acting_for(shop.tenant_id):
        found = quote(needs=[NEED], currency="USD", now=NOW)[NEED]
    assert {**found.as_json(), "id": None} == {
        "id": None, "model": "m", "meter": "input_tokens", "amount": "0.002000000000", "per": 1_000,
        "tiers": [[0, "0.002000000000"], [1_000_000, "0.0015"], [5_000_000, "0.001"]],
        # Per 1,000 units, as the price is: 3.00 and 1.50 per million.
        "list": "0.003", "cost": "0.0015", "costs": {"bedrock": "0.0018"},
    }  # fmt: skip
    # Which tier a call will be in is known when it is settled: a hold is taken by the dearest, wherever that stands.
    assert found.cost(2_000_000) == Decimal("4")
    rising = replace(found, tiers=((10, Decimal("0.5")), (20, Decimal("0.004"))))
    assert (rising.cost(1_000), rising.each) == (Decimal("0.5"), Decimal("0.0005"))


def test_a_cost_of_single_providers_only_stands_for_the_dearest(shop):
    shop.list("3.00")
    with as_staff():
        for provider, amount in (("a", "1"), ("b", "2")):
            ProviderPrice.objects.create(
                model="m", meter="input_tokens", provider=provider, currency="USD", amount=amount, valid_from=NOW
            )
    with acting_for(shop.tenant_id):
        found = quote(needs=[NEED], currency="USD", now=NOW)[NEED]
    assert (found.provider_amount, found.provider_amounts) == (2, {"a": 1, "b": 2})


class Allowing:
    """Allowances of the standard plan, and of acme's contract."""

    def __init__(self, tenant_id):
        self.tenant_id = tenant_id

    def plan(self, quantity, *, model="", meter="input_tokens", month=date(2026, 1, 1), plan="standard"):
        with as_staff():
            PlanAllowance.objects.create(
                plan=Plan.objects.get(slug=plan), model=model, meter=meter, quantity=quantity, valid_from=month
            )

    def contract(self, quantity, *, model="", meter="input_tokens"):
        with acting_for(self.tenant_id), tenant_scope() as tenant_id:
            TenantAllowance.objects.create(
                tenant_id=tenant_id, model=model, meter=meter, quantity=quantity, valid_from=date(2026, 1, 1)
            )

    def of(self, *, now=NOW, meter="input_tokens"):
        with acting_for(self.tenant_id):
            found = prices_of(models=["m"], currency="USD", now=now)["m", meter].allowance
            return found and found.quantity


@pytest.fixture
def allowing(shop) -> Iterator[Allowing]:
    shop.list("3.00")
    yield Allowing(shop.tenant_id)
    with as_staff():
        PlanAllowance.objects.all().delete()


def test_the_nearest_allowance_holds(allowing):
    assert allowing.of() is None
    allowing.plan(1, plan="scale")
    assert allowing.of() is None
    allowing.plan(10)
    assert allowing.of() == 10
    allowing.plan(20, model="m")
    assert allowing.of() == 20
    allowing.contract(30)
    assert allowing.of() == 30
    allowing.contract(0, model="m")  # the contract takes this model out of it
    assert allowing.of() is None


def test_an_allowance_begins_with_a_month(allowing):
    allowing.plan(10)
    allowing.plan(20, month=date(2026, 7, 1))
    last = datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC)
    assert (allowing.of(now=last), allowing.of(now=last + timedelta(microseconds=1))) == (10, 20)
    with pytest.raises(IntegrityError, match="billing_planallowance_month"):
        allowing.plan(5, month=date(2026, 7, 2))


def test_what_includes_input_tokens_includes_those_that_the_provider_had_in_its_cache(allowing):
    with as_staff():
        Price.objects.create(
            model="m", meter="cached_input_tokens", currency="USD", amount=1, valid_from=NOW - timedelta(days=1)
        )
    allowing.plan(10)
    with acting_for(allowing.tenant_id):
        found = prices_of(models=["m"], currency="USD", now=NOW)
    # The same one: both draw on its ten.
    assert found["m", "cached_input_tokens"].allowance == found["m", "input_tokens"].allowance == Allowance(ANY, 10)
    allowing.plan(5, meter="cached_input_tokens")
    assert (allowing.of(meter="cached_input_tokens"), allowing.of()) == (5, 10)


@pytest.mark.parametrize(("amount", "per"), [("-0.01", 1), ("1", 0)])
def test_the_database_refuses_prices_that_pay_or_divide_by_nothing(shop, amount, per):
    with pytest.raises(IntegrityError, match="billing_price_sound"), as_staff():
        Price.objects.create(
            model="m", meter="input_tokens", currency="USD", amount=Decimal(amount), per=per, valid_from=NOW
        )
