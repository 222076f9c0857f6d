"""Which price holds. List prices are written by staff, as in production, so these tests commit."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from billing.models import Plan, Price, TenantPrice
from billing.pricing import UnitPrice, UnpricedModel, price_of, quote
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
