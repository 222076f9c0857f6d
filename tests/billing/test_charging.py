"""Charges without a hold: once, exact, on the budgets of their period even above the limit. Amounts by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing.charging import charge_spend
from billing.models import BudgetAccount
from billing.prices import UnitPrice
from billing.reservations import BudgetExhausted, UsageLine
from tenants.errors import InvalidRequest
from tenants.ids import uuid7
from tenants.models import ApiKey
from tenants.scope import tenant_scope
from tests.billing.conftest import QUOTE, Till
from tests.billing.test_reservations import in_threads

STORAGE = ("storage", "storage_byte_hours")
#: A dollar for 10⁹ byte-hours.
STORED = {STORAGE: UnitPrice(uuid7(), *STORAGE, Decimal(1), 1_000_000_000)}


def stored(till, byte_hours, *, at=None, request_id=None, **options):
    options = {"currency": "USD", "lines": [UsageLine(*STORAGE, byte_hours)], "quote": STORED, **options}
    with till.acting():
        return charge_spend(
            request_id=request_id or uuid7(), operation="storage", at=at or datetime.now(UTC), **options
        )


def test_a_charge_reaches_the_ledger_and_the_budgets_above_their_limit(till):
    with till.acting(), tenant_scope():
        key = ApiKey.objects.get().id
    budget, of_key = till.budget("1.00"), till.budget("1.00", name="key", key_id=key)
    assert stored(till, 2_500_000_001, tags={"team": "=x"}) == Decimal("2.500000001")
    assert till.account(budget) == (Decimal("2.500000001"), 0)
    with till.acting(), tenant_scope():
        assert not BudgetAccount.objects.filter(budget_id=of_key).exists()
    (row,) = till.ledger()
    assert (row.meter, row.quantity, row.operation, row.tags) == (STORAGE[1], 2_500_000_001, "storage", {"team": "=x"})
    assert (row.variance, row.leads, row.batch, row.price_id) == (0, True, False, STORED[STORAGE].id)
    with pytest.raises(BudgetExhausted):
        till.hold("0.01")


def test_the_same_charge_again_is_charged_once_and_its_other_lines_too(till):
    budget, request = till.budget("1.00"), uuid7()
    lines = [UsageLine(*STORAGE, 100_000_000), UsageLine(*STORAGE, 50_000_000, attempt=2)]
    assert stored(till, 0, lines=lines[:1], request_id=request) == Decimal("0.1")
    assert stored(till, 900, request_id=request) is None
    assert stored(till, 0, lines=lines, request_id=request) == Decimal("0.05")
    assert stored(till, 0, lines=[], request_id=request) is None
    assert till.account(budget) == (Decimal("0.15"), 0)
    assert [row.quantity for row in till.ledger()] == [100_000_000, 50_000_000]


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (datetime(2028, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), date(2028, 2, 1)),
        (datetime(2028, 3, 1, tzinfo=UTC), date(2028, 3, 1)),
        # New Year's Eve in New York is already the next month of every budget.
        (datetime.fromisoformat("2025-12-31T20:00:00-05:00"), date(2026, 1, 1)),
        # The hour that daylight saving repeats in Berlin, twice.
        (datetime.fromisoformat("2026-10-25T02:30:00+02:00"), date(2026, 10, 1)),
        (datetime.fromisoformat("2026-10-25T02:30:00+01:00"), date(2026, 10, 1)),
    ],
)
def test_a_charge_stands_in_the_utc_month_of_its_use(till, at, month):
    budget = till.budget("1.00")
    assert stored(till, 1_000, at=at) == Decimal("0.000001")
    (row,) = till.ledger()
    assert (row.period_start, row.occurred_at) == (month, at)
    with till.acting(), tenant_scope():
        assert BudgetAccount.objects.get(budget_id=budget).period_start == month


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"lines": [UsageLine("storage", "floppy_disks", 1)]}, "no meter 'floppy_disks'"),
        ({"lines": [UsageLine(*STORAGE, 5), UsageLine(*STORAGE, -5, attempt=2)]}, "-5 storage_byte_hours cannot"),
        ({"currency": "EUR"}, "billed in USD, not in EUR"),
        ({"quote": QUOTE}, "No price was given for storage storage_byte_hours"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(till, options, wrong):
    budget = till.budget("1.00")
    with pytest.raises(InvalidRequest, match=wrong):
        stored(till, 1, **options)
    assert till.ledger() == []
    with till.acting(), tenant_scope():
        assert not BudgetAccount.objects.filter(budget_id=budget).exists()


def test_one_hour_charged_by_many_at_once_is_charged_once(committed):
    till = Till(committed("acme").tenant.id)
    budget, request, at = till.budget("1.00"), uuid7(), datetime.now(UTC) - timedelta(seconds=1)
    costs = in_threads(4, lambda _: stored(till, 1_000_000_000, request_id=request, at=at))
    assert sorted(costs, key=str) == [Decimal(1), None, None, None]
    assert till.account(budget) == (Decimal(1), 0) and len(till.ledger()) == 1
