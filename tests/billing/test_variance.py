"""Usage above a hold: on the platform's account to the last digit, never on a budget, and an alert once an hour."""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, ProgrammingError, connections, transaction

from billing.models import UsageRecord, VarianceAccount, VarianceAlert
from billing.prices import UnitPrice
from billing.reservations import UsageLine, charge_unknown, reserve, settle
from billing.tasks import sweep_variance_alerts
from tenants.ids import uuid7
from tenants.scope import tenant_scope
from tests.billing.conftest import MODEL, QUOTE, Till, tokens


def accounts(owner="owner"):
    rows = VarianceAccount.objects.using(owner).order_by("model", "pseudonym")
    return [(row.day, row.model, row.pseudonym, row.currency, row.amount, row.calls) for row in rows]


@pytest.fixture
def seen(committed):
    """A tenant whose rows the owner's connection sees."""
    till = Till(committed("acme").tenant.id)
    yield till
    for model in (VarianceAccount, VarianceAlert):
        model.objects.using("owner").all().delete()


def overspend(till, hold, *lines):
    reservation, _ = till.hold(hold)
    with till.acting():
        return settle(reservation, list(lines))


def test_ten_times_the_tokens_are_the_platforms_to_the_last_digit(seen):
    budget = seen.budget("0.05")
    # The hold pays for 1,000 tokens in and 500 out: 0.0025 + 0.005. Ten times that is 0.075.
    assert overspend(seen, "0.0075", *tokens(10_000, 5_000)) == Decimal("0.0075")
    # Twice over: several attempts of one call share its hold; the second has nothing left of it.
    assert overspend(seen, "0.0075", *tokens(1_000, 500, attempt=1), *tokens(10_000, 5_000, attempt=2)) == Decimal(
        "0.0075"
    )
    assert overspend(seen, "0.0075", *tokens(1, 1)) == Decimal("0.0000125")
    assert seen.account(budget) == (Decimal("0.0150125"), 0)
    today = datetime.now(UTC).date()
    assert accounts() == [(today, MODEL, seen.tenant_id, "USD", Decimal("0.0675") + Decimal("0.075"), 2)]
    with seen.acting(), tenant_scope():
        assert sum(UsageRecord.objects.values_list("variance", flat=True)) == Decimal("0.1425")


def test_each_model_of_a_call_has_its_account(seen):
    dear = {("dear", "input_tokens"): UnitPrice(uuid7(), "dear", "input_tokens", Decimal(100), 1_000_000)}
    ident = uuid7()
    with seen.acting():
        reserve(
            reservation_id=ident, request_id=ident, key_id=None, operation="completions", hold=Decimal("0.001"),
            currency="USD", quote={**QUOTE, **dear}, lease=timedelta(minutes=1),
        )  # fmt: skip
        # 400 tokens at 0.0000025 fill the hold; the fallback's 7 at 0.0001 and 2 out at 0.00001 are above it.
        lines = [*tokens(400, 0), UsageLine("dear", "input_tokens", 7, 2), UsageLine(MODEL, "output_tokens", 2, 3)]
        assert settle(ident, lines) == Decimal("0.001")
    assert [(model, amount, calls) for _, model, _, _, amount, calls in accounts()] == [
        ("dear", Decimal("0.0007"), 1),
        (MODEL, Decimal("0.00002"), 1),
    ]


def test_what_stays_within_its_hold_and_what_is_unknown_is_no_variance(seen):
    overspend(seen, "0.1", *tokens(1_000, 500))
    reservation, _ = seen.hold("0.1")
    with seen.acting():
        charge_unknown(reservation)
    assert accounts() == []


def test_an_alert_is_raised_once_an_hour_for_a_tenants_model(seen, caplog):
    for _ in range(3):
        overspend(seen, "0.001", *tokens(10_000, 0))
    with caplog.at_level(logging.ERROR):
        sweep_variance_alerts()
        sweep_variance_alerts()
    (said,) = [record for record in caplog.records if "usage above holds" in str(record.msg)]
    assert said.levelno == logging.ERROR
    # Each 0.025 at a hold of 0.001.
    alert = VarianceAlert.objects.using("owner").get()
    assert (alert.model, alert.amount, alert.calls) == (MODEL, Decimal("0.072"), 3)
    assert alert.raised_at is not None and alert.hour == alert.hour.replace(minute=0, second=0, microsecond=0)
    # More in the same hour is counted, and not told again; the next hour is told.
    overspend(seen, "0.001", *tokens(10_000, 0))
    VarianceAlert.objects.using("owner").update(hour=alert.hour - timedelta(hours=1))
    overspend(seen, "0.001", *tokens(10_000, 0))
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        sweep_variance_alerts()
    assert len([record for record in caplog.records if "usage above holds" in str(record.msg)]) == 1
    assert VarianceAlert.objects.using("owner").count() == 2


@pytest.mark.parametrize("statement", ["SELECT * FROM billing_varianceaccount", "DELETE FROM billing_variancealert"])
def test_the_app_neither_reads_nor_changes_the_platforms_account(till, statement):
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute(statement)


def test_a_tenant_books_no_variance_for_another(till, globex):
    with till.acting(), tenant_scope(), pytest.raises(DatabaseError, match="another tenant"), transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT book_variance(%s, 'm', 'USD', 1, clock_timestamp())", [globex.tenant.id])
