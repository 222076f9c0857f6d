"""Months, days and clocks: whatever the clock and the session's time zone say, a line stands with its reservation."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection

from billing.models import BudgetAccount, Reservation, UsageRecord
from billing.reservations import charge_unknown, reserve_child, settle
from tenants.ids import uuid7
from tenants.scope import tenant_scope
from tests.billing.conftest import QUOTE, tokens
from tests.billing.test_reservations import AGO


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """The database's session has another time zone than UTC (in which Django takes what it reads to be)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [name])
        yield
        cursor.execute("SELECT set_config('TimeZone', 'UTC', true)")


@pytest.mark.parametrize(
    ("zone", "admitted", "stands"),
    [
        # Settled long after: at the end of its day, which is the end of a month, a year, February of a leap year.
        ("America/New_York", "2026-01-31T23:59:59.5Z", "2026-01-31T23:59:59.999999Z"),
        ("Pacific/Kiritimati", "2025-12-31T00:00:00Z", "2025-12-31T23:59:59.999999Z"),
        ("Pacific/Kiritimati", "2024-02-29T12:00:00Z", "2024-02-29T23:59:59.999999Z"),
        ("America/New_York", "2023-02-28T12:00:00Z", "2023-02-28T23:59:59.999999Z"),
        # The days on which New York's clocks change have 24 hours of UTC as any other.
        ("America/New_York", "2026-03-08T06:30:00Z", "2026-03-08T23:59:59.999999Z"),
        ("America/New_York", "2025-11-02T05:30:00Z", "2025-11-02T23:59:59.999999Z"),
        # The clock was set back between admission and settlement, over the start of a month and of a leap day.
        ("America/New_York", "2098-03-01T00:00:00.25Z", "2098-03-01T00:00:00Z"),
        ("Pacific/Kiritimati", "2096-02-29T11:00:00Z", "2096-02-29T00:00:00Z"),
    ],
)
def test_a_line_stands_on_the_day_of_its_reservation(till, zone, admitted, stands):
    budget, moment = till.budget("1"), datetime.fromisoformat(admitted)
    month = moment.date().replace(day=1)
    call, _ = till.hold("0.10")
    lost, _ = till.hold("0.20")
    part = uuid7()
    with till.acting():
        with tenant_scope():
            Reservation.objects.update(created_at=moment, period_start=month)
            BudgetAccount.objects.update(period_start=month)
        with in_zone(zone):
            reserve_child(call, reservation_id=part, hold=Decimal("0.01"), operation="part", quote=QUOTE, lease=-AGO)
            settle(part, tokens(0, 100, attempt=2))
            settle(call, tokens(1_000, 0))
            charge_unknown(lost)
        with tenant_scope():
            account = BudgetAccount.objects.get(budget_id=budget)
    rows = till.ledger()
    assert [(row.period_start, row.occurred_at) for row in rows] == [(month, datetime.fromisoformat(stands))] * 3
    assert (account.period_start, account.spent, account.held) == (month, Decimal("0.2035"), 0)


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_an_admission_is_of_the_utc_month_and_settled_within_it(till, zone):
    before = datetime.now(UTC)
    with in_zone(zone), till.acting():
        call, _ = till.hold("0.10")
        settle(call, tokens(1_000, 0))
    with till.acting(), tenant_scope():
        held, row = Reservation.objects.get(id=call), UsageRecord.objects.get()
    after = datetime.now(UTC)
    assert before <= held.created_at <= row.occurred_at <= after
    assert held.period_start == row.period_start == date(held.created_at.year, held.created_at.month, 1)
