"""A tenant's October of 2026 in a few charges, whose sums are worked out by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing.charging import charge_spend
from billing.models import Statement
from billing.prices import Allowance, UnitPrice
from billing.reservations import UsageLine
from billing.statements.closing import Closed, close_month
from tenants.audit import Actor
from tenants.ids import uuid7
from tests.billing.conftest import Till, _django_db_helper, committed, pytest_collection_modifyitems, till

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems", "till"]

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
FINANCE = Actor("platform_key", "7")
NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
#: 2.50 a million after a million included, 10.00 a million up to a million and 8.00 beyond, a dollar for a GB-hour.
#: At the list 3.00, 12.00 and none; the provider takes 1.00, 4.00 and nobody knows.
PRICES = {
    (price.model, price.meter): price
    for price in (
        UnitPrice(
            uuid7(), "gpt", "input_tokens", Decimal("2.50"), 1_000_000, list_amount=Decimal(3),
            provider_amount=Decimal(1), allowance=Allowance(uuid7(), 1_000_000),
        ),
        UnitPrice(
            uuid7(), "gpt", "output_tokens", Decimal(10), 1_000_000, tiers=((1_000_000, Decimal(8)),),
            list_amount=Decimal(12), provider_amount=Decimal(4),
        ),
        UnitPrice(uuid7(), "storage", "storage_byte_hours", Decimal(1), 1_000_000_000),
    )
}  # fmt: skip


def use(till: Till, at: datetime, model: str, meter: str, quantity: int) -> None:
    """Charge what was used at that moment."""
    with till.acting():
        charge_spend(
            request_id=uuid7(), operation="completions", currency="USD", quote=PRICES, at=at,
            lines=[UsageLine(model, meter, quantity)],
        )  # fmt: skip


def close(till: Till, month: date = OCTOBER, now: datetime = NOW) -> Closed:
    with till.acting():
        return close_month(month=month, by=FINANCE, now=now)


def fill_october(till: Till) -> None:
    """0.25 + 1.25 for 1,600,000 tokens in, 6 + 4 + 4 for 1,500,000 out, 2 for storage: 17.50."""
    use(till, datetime(2026, 10, 1, tzinfo=UTC), "gpt", "input_tokens", 1_100_000)
    use(till, datetime(2026, 10, 9, tzinfo=UTC), "gpt", "input_tokens", 500_000)
    use(till, datetime(2026, 10, 9, tzinfo=UTC), "gpt", "output_tokens", 600_000)
    use(till, datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC), "gpt", "output_tokens", 900_000)
    use(till, datetime(2026, 10, 20, tzinfo=UTC), "storage", "storage_byte_hours", 2_000_000_000)
    # Of other months, and nobody's business in October.
    use(till, datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC), "gpt", "input_tokens", 1_000_002)
    use(till, datetime(2026, 11, 1, tzinfo=UTC), "gpt", "input_tokens", 1_000_004)


@pytest.fixture
def october(till: Till) -> Till:
    """A tenant with October's charges."""
    fill_october(till)
    return till


@pytest.fixture
def statement(october: Till) -> Statement:
    """October's."""
    return close(october).statement
