"""Corrections: new rows with the differences, in the month in which they are made, on its budgets."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from billing.corrections import correct
from billing.models import BudgetAccount, Reservation, UsageRecord
from billing.reservations import charge_unknown, settle
from tenants.audit import Actor
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import ApiKey, AuditEvent
from tenants.scope import tenant_scope
from tests.billing.conftest import Till, tokens
from tests.billing.test_reservations import in_threads

FINANCE = Actor("user", "7")


def corrected(till, line, **changes):
    given = {"quantity": 0, "cost": Decimal(0), "provider_cost": None, "reason": "the provider's bill", "by": FINANCE}
    with till.acting():
        return correct(corrects=line, **{"now": datetime.now(UTC), **given, **changes})


@pytest.fixture
def line(till):
    """10,000 tokens in, for 0.025."""
    reservation, _ = till.hold("0.10", end_user="eve")
    with till.acting(), tenant_scope():
        Reservation.objects.filter(id=reservation).update(tags={"team": "blue"}, batch=True)
    with till.acting():
        settle(reservation, tokens(10_000, 0))
    return till.ledger()[0]


def test_a_correction_is_a_row_that_names_what_it_corrects(till, line):
    row = corrected(
        till,
        line.id,
        quantity=-4_000,
        cost=Decimal("-0.01"),
        provider_cost=Decimal("-0.0044"),
        reason=" counted twice ",
    )
    assert till.ledger() == [line, row]
    for name in (
        "request_id",
        "reservation_id",
        "attempt",
        "operation",
        "model",
        "meter",
        "price_id",
        "end_user",
        "batch",
    ):
        assert getattr(row, name) == getattr(line, name), name
    assert row.tags == {"team": "blue"}
    assert (row.corrects, row.reason, row.leads) == (line.id, "counted twice", False)
    assert (row.quantity, row.cost, row.provider_cost) == (-4_000, Decimal("-0.01"), Decimal("-0.0044"))
    with till.acting(), tenant_scope():
        event = AuditEvent.objects.get(action="usage.corrected")
    assert (event.actor_type, event.actor_id, event.object_id) == ("user", "7", str(row.id))
    assert event.changes == {
        "corrects": str(line.id),
        "quantity": -4_000,
        "cost": "-0.01",
        "reason": "counted twice",
    }


def test_a_correction_is_paid_by_the_month_in_which_it_is_made(till):
    with till.acting(), tenant_scope():
        key = ApiKey.objects.get().id
    budgets = till.budget("0.10"), till.budget("0.10", name="key", key_id=key)
    reservation, _ = till.hold("0.10", key_id=key)
    with till.acting(), tenant_scope():
        Reservation.objects.update(period_start="2026-01-01", created_at="2026-01-31T12:00:00Z")
        BudgetAccount.objects.update(period_start="2026-01-01")
    with till.acting():
        settle(reservation, tokens(10_000, 0))
    (line,) = till.ledger()
    now = datetime.fromisoformat("2026-01-31T19:30:00-05:00")  # February by UTC
    row = corrected(till, line.id, cost=Decimal("-0.02"), now=now)
    assert (row.period_start, row.occurred_at) == (date(2026, 2, 1), now)
    with till.acting(), tenant_scope():
        spent = dict(BudgetAccount.objects.values_list("budget_id", "spent").filter(period_start="2026-02-01"))
        before = set(BudgetAccount.objects.filter(period_start="2026-01-01").values_list("spent", flat=True))
    assert spent == dict.fromkeys(budgets, Decimal("-0.02")) and before == {Decimal("0.025")}


def test_a_credit_gives_room_and_a_debit_takes_it(till, line):
    budget = till.budget("0.10")
    till.hold("0.10", at_least="0.05")
    # The line's own 0.025 stand in it too, though the budget was set afterwards.
    corrected(till, line.id, cost=Decimal("-0.03"))
    assert till.account(budget) == (Decimal("-0.005"), Decimal("0.075"))
    assert till.hold("1", at_least="0")[1] == Decimal("0.03")
    corrected(till, line.id, cost=Decimal("5"))
    assert till.account(budget) == (Decimal("4.995"), Decimal("0.105"))


def test_a_lost_call_is_made_good_when_the_provider_tells(till):
    budget = till.budget("1.00")
    reservation, _ = till.hold("0.10")
    with till.acting():
        charge_unknown(reservation)
    (line,) = till.ledger()
    corrected(till, line.id, quantity=-1, cost=Decimal("-0.0975"), provider_cost=Decimal("0.002"))
    assert till.account(budget) == (Decimal("0.0025"), 0)
    assert sum(row.quantity for row in till.ledger()) == 0


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, "corrects nothing"),
        ({"cost": Decimal("NaN")}, "Invalid 'cost'"),
        ({"cost": Decimal("0.0000000000001")}, "Invalid 'cost'"),
        ({"cost": Decimal(10) ** 12}, "Invalid 'cost'"),
        ({"provider_cost": Decimal("Infinity")}, "Invalid 'provider_cost'"),
        ({"quantity": 2**63}, "Invalid 'quantity'"),
        ({"quantity": -10_001}, "10000 input_tokens are left of this line; 10001 cannot be taken back"),
        ({"quantity": 1, "reason": "  "}, "Say why"),
        ({"quantity": 1, "reason": "x" * 201}, "Say why"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(till, line, changes, wrong):
    with pytest.raises(InvalidRequest, match=wrong):
        corrected(till, line.id, **changes)
    assert till.ledger() == [line]


def test_corrections_are_of_lines_of_the_own_ledger(till, line, globex):
    row = corrected(till, line.id, quantity=-10_000)
    with pytest.raises(InvalidRequest, match="0 input_tokens are left"):
        corrected(till, line.id, quantity=-1)
    with pytest.raises(InvalidRequest, match=f"is a correction itself. Correct '{line.id}'"):
        corrected(till, row.id, quantity=1)
    for ident, of in ((line.id, Till(globex.tenant.id)), (uuid7(), till)):
        with pytest.raises(NotFound, match="No usage record"):
            corrected(of, ident, quantity=1)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"quantity": -1}, "not_negative"),
        ({"cost": Decimal(-1)}, "not_negative"),
        ({"included": 20_000}, "not_negative"),
        ({"reason": "no line is named"}, "corrections_say_why"),
        ({"corrects": uuid7()}, "corrections_say_why"),
        ({"corrects": uuid7(), "reason": "leads", "leads": True}, "corrections_say_why"),
    ],
)
def test_the_database_keeps_lines_and_corrections_apart(till, line, changes, constraint):
    kept = {field.attname: getattr(line, field.attname) for field in UsageRecord._meta.concrete_fields}
    with till.acting(), tenant_scope(), pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        UsageRecord.objects.create(**{**kept, "id": uuid7(), "attempt": 2, **changes})


def test_two_at_once_cannot_take_back_the_same_units(committed):
    till = Till(committed("acme").tenant.id)
    reservation, _ = till.hold("0.10")
    with till.acting():
        settle(reservation, tokens(10_000, 0))
    (line,) = till.ledger()
    results = in_threads(4, lambda _: corrected(till, line.id, quantity=-6_000))
    assert sorted(type(result).__name__ for result in results) == ["InvalidRequest"] * 3 + ["UsageRecord"]
