"""A month is closed once, with every line of it, and what comes later is the next month's. Amounts by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import transaction

from billing.corrections import correct
from billing.models import Plan, Reservation, Statement, StatementLine, Subscription
from billing.reservations import release, settle
from billing.statements.closing import CallsUnderWay, MonthNotOver, close_due, close_month
from billing.statements.lines import SeveralCurrencies, draft
from billing.statements.months import parse_month
from tenants.errors import InvalidRequest
from tenants.ids import uuid7
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.billing.conftest import Till, tokens
from tests.billing.statements.conftest import FINANCE, NOVEMBER, NOW, OCTOBER, close, use
from tests.billing.test_reservations import in_threads


def test_a_statement_has_what_was_used_included_and_over(october):
    closed = close(october)
    with october.acting(), tenant_scope():
        lines = list(closed.statement.lines.order_by("position"))
        [event] = AuditEvent.objects.filter(action="statement.closed")
    told = ("kind", "model", "meter", "quantity", "included", "cost", "list_cost", "unit_price", "per", "records")
    assert [tuple(getattr(line, name) for name in told) for line in lines] == [
        ("usage", "gpt", "input_tokens", 1_600_000, 1_000_000, Decimal("1.5"), Decimal("4.8"), Decimal("2.5"), 10**6, 2),
        # The second of its records begins within the first tier, so both start at the same price.
        ("usage", "gpt", "output_tokens", 1_500_000, 0, Decimal(14), Decimal(18), Decimal(10), 10**6, 2),
        ("usage", "storage", "storage_byte_hours", 2 * 10**9, 0, Decimal(2), None, Decimal(1), 10**9, 1),
    ]  # fmt: skip
    statement = closed.statement
    sums = (statement.usage, statement.corrections, statement.credits, statement.total)
    assert sums == (Decimal("17.5"), 0, 0, Decimal("17.5"))
    by_whom = (statement.closed_by_type, statement.closed_by_id, statement.closed_at)
    assert (statement.currency, statement.records, *by_whom) == ("USD", 5, "platform_key", "7", NOW)
    assert event.changes == {"month": "2026-10", "total": "17.50", "currency": "USD"}
    again = close(october, now=NOW + timedelta(days=1))
    assert (again.created, again.statement.id, again.statement.closed_at) == (False, statement.id, NOW)


def test_corrections_fall_into_the_month_that_is_open_and_say_what_they_correct(october, statement):
    line = october.ledger()[0]
    with october.acting():
        for cost in ("-0.05", "0.01"):
            correct(
                corrects=line.id, quantity=-1_000, cost=Decimal(cost), provider_cost=None, reason="bill of October",
                by=FINANCE, now=NOW,
            )  # fmt: skip
        november = draft(month=NOVEMBER)
    with october.acting(), tenant_scope():
        assert sum(line.cost for line in StatementLine.objects.filter(statement=statement)) == statement.total
    corrected = november.lines[-1]
    assert (corrected.kind, corrected.corrected_month, corrected.reason) == ("correction", OCTOBER, "bill of October")
    assert (corrected.quantity, corrected.cost, corrected.records) == (-2_000, Decimal("-0.04"), 2)
    # 4 tokens above the million included: 0.00001.
    assert (november.totals.usage, november.totals.corrections) == (Decimal("0.00001"), Decimal("-0.04"))
    assert november.totals.total == sum(row.cost for row in october.ledger() if row.period_start == NOVEMBER)


def test_a_month_waits_for_its_end_and_for_its_calls(till):
    with pytest.raises(MonthNotOver, match="from 2026-11-01"):
        close(till, now=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))
    this_month = datetime.now(UTC).date().replace(day=1)
    with pytest.raises(MonthNotOver):  # a clock that runs ahead of the database's closes nothing
        close(till, this_month, now=NOW + timedelta(days=400))
    reservation, _ = till.hold("1")
    move(till, reservation)
    with pytest.raises(CallsUnderWay, match="1 calls that began in it"):
        close(till)
    with till.acting():
        settle(reservation, tokens(1_000, 0))
    assert close(till).statement.total == Decimal("0.0025")


def move(till, reservation):
    """Let a hold be October's: its call began then and has not ended."""
    with till.acting(), tenant_scope():
        began = datetime(2026, 10, 31, 23, tzinfo=UTC)
        Reservation.objects.filter(id=reservation).update(period_start=OCTOBER, created_at=began)


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-1", "26-01", "9999-12", "2026-10-01", "２０２６-10", ""])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(InvalidRequest, match="must be a month like"):
        parse_month(text)


def test_a_february_of_a_leap_year_has_its_last_day(till):
    use(till, datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), "storage", "storage_byte_hours", 10**9)
    use(till, datetime(2024, 3, 1, tzinfo=UTC), "storage", "storage_byte_hours", 10**9)
    assert close(till, date(2024, 2, 1)).statement.total == 1


def test_a_closing_waits_for_what_is_written_and_not_committed(committed):
    """Eight close, two use: whoever is first, the statement has exactly what the ledger has of the month."""
    till = Till(committed("acme").tenant.id)
    at, barrier = datetime(2026, 10, 31, 23, 59, tzinfo=UTC), Barrier(10)

    def work(number):
        barrier.wait()
        if number < 2:
            return use(till, at, "storage", "storage_byte_hours", 10**9)
        return close(till).created

    use(till, at, "storage", "storage_byte_hours", 10**9)
    told = in_threads(10, work)
    assert (told.count(None), told.count(True), told.count(False)) == (2, 1, 7)
    with till.acting(), tenant_scope():
        [statement] = Statement.objects.all()
        months = [row.period_start for row in till.ledger()]
    assert statement.total == statement.records == months.count(OCTOBER)
    assert len(months) == 3 and set(months) <= {OCTOBER, NOVEMBER}


def test_months_are_closed_on_their_day_whoever_else_cannot_be(committed):
    acme, globex, idle = (Till(committed(slug).tenant.id) for slug in ("acme", "globex", "idle"))
    for till in (acme, globex):
        use(till, datetime(2026, 10, 9, tzinfo=UTC), "storage", "storage_byte_hours", 10**9)
    reservation, _ = globex.hold("1")
    move(globex, reservation)
    with acme.acting(), tenant_scope():
        plan = Subscription.objects.get().plan_id
    with transaction.atomic(using="owner"):
        Plan.objects.using("owner").filter(id=plan).update(closing_day=5)
    try:
        for till in (globex, idle):
            with till.acting(), tenant_scope():
                Subscription.objects.update(closing_day=2)
        on = {day: datetime(2026, 11, day, 7, tzinfo=UTC) for day in (1, 2, 4, 5)}
        assert [close_due(now=on[day]) for day in (1, 2, 4)] == [0, 0, 0]  # globex' call is under way
        with globex.acting():
            release(reservation)
        assert close_due(now=datetime(2026, 11, 2, 5, 59, tzinfo=UTC)) == 0
        assert [close_due(now=on[day]) for day in (2, 4, 5, 5)] == [1, 0, 1, 0]
        for till, days in ((acme, 5), (globex, 2)):
            with till.acting(), tenant_scope():
                assert Statement.objects.values_list("closed_by_type", "closed_at__day").get() == ("system", days)
    finally:
        with transaction.atomic(using="owner"):
            Plan.objects.using("owner").filter(id=plan).update(closing_day=None)


def test_a_month_in_two_currencies_is_not_added_up(till):
    use(till, datetime(2026, 10, 9, tzinfo=UTC), "storage", "storage_byte_hours", 10**9)
    row = till.ledger()[0]
    with till.acting(), tenant_scope():
        row.id, row.request_id, row.currency = uuid7(), uuid7(), "EUR"
        row.save(force_insert=True)
    with pytest.raises(SeveralCurrencies, match="EUR and USD"):
        close(till)
    with till.acting(), tenant_scope():
        assert not Statement.objects.exists()


def test_a_month_is_closed_for_one_tenant_and_not_before_its_first(october, globex):
    with acting_for(globex.tenant.id), pytest.raises(InvalidRequest, match="was not there in 2026-10"):
        close_month(month=OCTOBER, by=FINANCE, now=NOW)
    close(october)
    with acting_for(globex.tenant.id), tenant_scope():
        assert not Statement.objects.exists()
