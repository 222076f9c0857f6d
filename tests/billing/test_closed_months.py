"""What the database refuses once a month is closed, and what it refuses to change."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction

from billing.charging import charge_spend
from billing.models import Statement, UsageRecord
from billing.reservations import UsageLine, settle
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.billing.conftest import MODEL, QUOTE, Till, tokens

THIS_MONTH = datetime.now(UTC).date().replace(day=1)
LAST_YEAR = date(THIS_MONTH.year - 1, 1, 1)


def close(till: Till, month: date) -> Statement:
    """As the database sees it."""
    with till.acting(), tenant_scope() as tenant_id:
        return Statement.objects.create(
            tenant_id=tenant_id, period_start=month, currency="USD", usage=0, corrections=0, credits=0, total=0, records=0,
            closed_by_type="system", closed_by_id="atrium", closed_at=datetime.now(UTC),
        )  # fmt: skip


def write(till: Till, month: date, **values: object) -> UsageRecord:
    """A line of the ledger, past every function that writes some."""
    request = uuid7()
    row = {
        "reservation_id": uuid7(), "request_id": request, "attempt": 1, "operation": "chat", "model": MODEL,
        "meter": "input_tokens", "quantity": 1, "unit_price": 1, "per": 1, "cost": 1, "currency": "USD",
        "period_start": month, "occurred_at": datetime(month.year, month.month, 9, tzinfo=UTC),
    }  # fmt: skip
    with till.acting(), tenant_scope() as tenant_id:
        return UsageRecord.objects.create(tenant_id=tenant_id, **{**row, **values})


def test_a_closed_month_takes_no_line_and_no_hold(till, globex):
    reservation, _ = till.hold("1", request_id=uuid7())
    write(till, LAST_YEAR)
    close(till, LAST_YEAR)
    with pytest.raises(IntegrityError, match=f"month {LAST_YEAR:%Y-%m} is closed"):
        write(till, LAST_YEAR)
    write(till, LAST_YEAR.replace(month=2))
    write(Till(globex.tenant.id), LAST_YEAR)
    close(till, THIS_MONTH)  # as a clock that went back would have it
    with pytest.raises(IntegrityError, match="is closed"):
        write(till, THIS_MONTH, corrects=uuid7(), reason="x")
    with pytest.raises(IntegrityError, match="is closed"):
        till.hold("1")
    with till.acting():
        settle(reservation, tokens(1, 1))  # closing a month would have waited for it
    with till.acting(), tenant_scope() as tenant_id, connection.cursor() as cursor:
        moment = datetime(THIS_MONTH.year, THIS_MONTH.month, 3, tzinfo=UTC)
        cursor.execute("SELECT open_month(%s, %s), open_month(%s, %s)", [tenant_id, moment, globex.tenant.id, moment])
        after = date(THIS_MONTH.year + THIS_MONTH.month // 12, THIS_MONTH.month % 12 + 1, 1)
        assert cursor.fetchone() == (after, THIS_MONTH)


@pytest.mark.parametrize("statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_nobody_reopens_a_month_not_even_the_tables_owner(db, statement):
    for table in ("billing_statement", "billing_statementline", "billing_creditnote"):
        with (
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(using="owner"),
            connections["owner"].cursor() as cursor,
        ):
            cursor.execute(statement.format(table))


def test_the_app_may_not_even_ask(till):
    row = close(till, LAST_YEAR)
    with pytest.raises(ProgrammingError, match="permission denied"), acting_for(row.tenant_id), tenant_scope():
        Statement.objects.filter(id=row.id).delete()


def test_a_charge_that_comes_after_the_closing_falls_into_the_next_month(till):
    close(till, LAST_YEAR)
    february = datetime(LAST_YEAR.year, 2, 1, tzinfo=UTC)
    with till.acting():
        for at in (february - timedelta(minutes=1), february + timedelta(hours=1)):
            lines = [UsageLine(MODEL, "input_tokens", 7)]
            charge_spend(request_id=uuid7(), operation="storage", currency="USD", quote=QUOTE, lines=lines, at=at)
    assert [(row.period_start, row.occurred_at) for row in till.ledger()] == [
        (february.date(), february),
        (february.date(), february + timedelta(hours=1)),
    ]
