"""Money is reserved before it is spent. Amounts were worked out by hand from the prices in conftest."""

import os
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connections, transaction

from billing.budgets.states import budget_states
from billing.models import Budget, BudgetAccount, Reservation, UsageRecord
from billing.prices import UnitPrice
from billing.reservations import (
    BudgetExhausted,
    BudgetHeld,
    HoldGone,
    UsageLine,
    charge_unknown,
    dispatched,
    plain,
    release,
    reserve,
    settle,
    settle_expired,
)
from billing.tasks import sweep_reservations
from tenants.ids import uuid7
from tenants.models import ApiKey
from tenants.scope import acting_for, tenant_scope
from tests.billing.conftest import MODEL, QUOTE, Till, tokens

AGO = timedelta(seconds=-1)


@pytest.fixture
def key_id(till):
    with till.acting(), tenant_scope():
        return ApiKey.objects.get().id


def state_of(till, reservation_id):
    with till.acting(), tenant_scope():
        return Reservation.objects.get(id=reservation_id).state


def test_a_settled_call_costs_its_tokens_and_frees_the_rest(till):
    budget = till.budget("1.00")
    reservation, held = till.hold("0.10")
    assert held == Decimal("0.10")
    assert till.account(budget) == (0, Decimal("0.10"))
    with till.acting():
        cost = settle(reservation, tokens(1_000, 500))
    # 1,000 × 0.0000025 + 500 × 0.00001 = 0.0025 + 0.005
    assert cost == Decimal("0.0075")
    assert till.account(budget) == (Decimal("0.0075"), 0)
    assert [(row.meter, row.quantity, row.cost, row.variance) for row in till.ledger()] == [
        ("input_tokens", 1_000, Decimal("0.0025"), 0),
        ("output_tokens", 500, Decimal("0.005"), 0),
    ]
    assert state_of(till, reservation) == "settled"


def test_the_ledger_keeps_the_price_that_was_paid(till):
    reservation, _ = till.hold("0.10")
    with till.acting():
        settle(reservation, tokens(3, 0))
    (row,) = till.ledger()
    price = QUOTE[MODEL, "input_tokens"]
    assert (row.price_id, row.unit_price, row.per, row.cost) == (
        price.id,
        Decimal("2.5"),
        1_000_000,
        Decimal("0.0000075"),
    )
    assert (row.currency, row.operation, row.reservation_id) == ("USD", "completions", reservation)


def test_a_call_is_settled_once(till):
    budget = till.budget("1.00")
    reservation, _ = till.hold("0.10")
    with till.acting():
        assert settle(reservation, tokens(1_000, 0)) == Decimal("0.0025")
        assert settle(reservation, tokens(1_000, 0)) is None
        release(reservation)
        charge_unknown(reservation)
    assert till.account(budget) == (Decimal("0.0025"), 0)
    assert len(till.ledger()) == 1


def test_a_released_call_costs_nothing(till):
    budget = till.budget("1.00")
    reservation, _ = till.hold("0.10")
    with till.acting():
        release(reservation)
    assert till.account(budget) == (0, 0)
    assert till.ledger() == []
    assert state_of(till, reservation) == "released"


def test_usage_above_the_hold_is_the_platforms(till):
    budget = till.budget("0.01")
    reservation, _ = till.hold("0.006")
    with till.acting():
        cost = settle(reservation, tokens(1_000, 1_000))
    # Worth 0.0025 + 0.01 = 0.0125; the hold pays 0.006, the platform the other 0.0065.
    assert cost == Decimal("0.006")
    assert till.account(budget) == (Decimal("0.006"), 0)
    assert sum(row.cost for row in till.ledger()) == Decimal("0.006")
    assert sum(row.variance for row in till.ledger()) == Decimal("0.0065")


def test_a_line_is_rounded_once_to_twelve_digits(till):
    third = {(MODEL, "input_tokens"): UnitPrice(uuid7(), MODEL, "input_tokens", Decimal(1), per=3)}
    ident = uuid7()
    with till.acting():
        reserve(
            reservation_id=ident, request_id=ident, key_id=None, operation="completions", hold=Decimal(9), currency="USD",
            quote=third, lease=timedelta(minutes=1),
        )  # fmt: skip
        assert settle(ident, tokens(2, 0)) == Decimal("0.666666666667")


def test_a_hold_is_clamped_to_what_is_left(till):
    till.budget("0.25")
    till.hold("0.20")
    assert till.hold("0.20", at_least="0.01")[1] == Decimal("0.05")


def test_a_hold_below_the_least_is_refused_and_leaves_no_trace(till):
    budget = till.budget("0.25")
    till.hold("0.20")
    with pytest.raises(BudgetHeld):
        till.hold("0.20", at_least="0.050000000001")
    assert till.account(budget) == (0, Decimal("0.20"))
    with till.acting(), tenant_scope():
        assert Reservation.objects.count() == 1


def test_a_spent_budget_says_so_and_is_not_retried(till):
    till.budget("0.01")
    reservation, _ = till.hold("0.01")
    with till.acting():
        settle(reservation, tokens(0, 1_000))
    with pytest.raises(BudgetExhausted) as refusal:
        till.hold("0.02", at_least="0.000001")
    error = refusal.value
    assert (error.status, error.code, error.headers["x-should-retry"]) == (429, "insufficient_quota", "false")
    detail = error.body()["error"]["budget"]
    assert (detail["limit"], detail["spent"], detail["held"], detail["needed"]) == ("0.01", "0.01", "0.00", "0.000001")
    today = datetime.now(UTC).date()
    first = date(today.year + today.month // 12, today.month % 12 + 1, 1)
    assert detail["resets_at"] == first.isoformat()
    assert "Budget 'monthly' is exhausted: 0.01 of 0.01 USD spent" in error.message


def test_a_held_budget_asks_to_come_back(till):
    till.budget("0.01")
    till.hold("0.01")
    with pytest.raises(BudgetHeld) as refusal:
        till.hold("0.01")
    assert (refusal.value.status, refusal.value.headers) == (429, {"retry-after": "1"})


def test_amounts_in_a_refusal_keep_every_digit(till):
    till.budget("123456789012.123456789012")
    with pytest.raises(BudgetExhausted) as refusal:
        till.hold("123456789012.123456789013")
    detail = refusal.value.data["budget"]
    assert detail["limit"] == "123456789012.123456789012"
    assert detail["needed"] == "123456789012.123456789013"


def test_the_key_and_the_tenant_both_hold_or_neither(till, key_id):
    of_tenant, of_key = till.budget("1.00"), till.budget("0.05", name="key", key_id=key_id)
    _, held = till.hold("0.04", key_id=key_id)
    assert held == Decimal("0.04")
    assert till.account(of_tenant) == till.account(of_key) == (0, Decimal("0.04"))
    with pytest.raises(BudgetHeld) as refusal:
        till.hold("0.04", key_id=key_id)
    assert refusal.value.data["budget"]["budget"] == "key"
    assert till.account(of_tenant) == till.account(of_key) == (0, Decimal("0.04"))
    till.hold("0.90")
    assert till.account(of_tenant) == (0, Decimal("0.94"))
    assert till.account(of_key) == (0, Decimal("0.04"))


def test_a_tenant_without_budgets_may_spend(till):
    reservation, held = till.hold("1000.00")
    with till.acting():
        assert settle(reservation, tokens(1_000_000, 0)) == Decimal("2.5")
    assert held == Decimal("1000.00")


def test_other_tenants_budgets_are_untouched(till, globex):
    other = Till(globex.tenant.id)
    budget = other.budget("1.00")
    till.hold("5.00")
    with other.acting():
        assert [(state.spent, state.held) for state in budget_states(now=datetime(2026, 1, 1, tzinfo=UTC))] == [(0, 0)]
    reservation, _ = other.hold("0.5")
    with till.acting():
        assert settle(reservation, tokens(1, 1)) is None
    assert other.account(budget) == (0, Decimal("0.5"))


def test_a_budget_in_another_currency_is_never_mixed_in(till):
    budget = till.budget("1.00")
    with till.acting(), tenant_scope():
        Budget.objects.filter(id=budget).update(currency="EUR")
    with pytest.raises(DatabaseError, match="is in EUR, the call in USD"):
        till.hold("0.1")


@pytest.mark.parametrize(("hold", "least"), [("0.1", "0.2"), ("-1", None), ("0.1", "-0.1")])
def test_a_hold_that_makes_no_sense_is_a_defect(till, hold, least):
    with pytest.raises(DatabaseError, match="cannot be at least"):
        till.hold(hold, at_least=least)


def test_an_unpriced_line_is_refused_and_nothing_is_settled(till):
    budget = till.budget("1.00")
    reservation, _ = till.hold("0.10")
    with till.acting(), pytest.raises(DatabaseError, match="no price was reserved"):
        settle(reservation, [UsageLine("another-model", "input_tokens", 5)])
    assert state_of(till, reservation) == "open"
    assert till.account(budget) == (0, Decimal("0.10"))


def test_a_negative_quantity_is_refused(till):
    reservation, _ = till.hold("0.10")
    with till.acting(), pytest.raises(DatabaseError, match="no quantity is"):
        settle(reservation, [UsageLine(MODEL, "input_tokens", -5)])


def test_attempts_of_one_call_are_lines_of_their_own(till):
    reservation, _ = till.hold("0.10")
    with till.acting():
        cost = settle(reservation, [*tokens(1_000, 0, attempt=1), *tokens(1_000, 100, attempt=2)])
    assert cost == Decimal("0.006")
    assert [(row.attempt, row.quantity) for row in till.ledger()] == [(1, 1_000), (2, 1_000), (2, 100)]


def test_a_line_is_priced_by_the_meter_that_stands_in_for_its_own(till):
    reservation, _ = till.hold("0.10")
    lines = [
        UsageLine(MODEL, "input_tokens", 600),
        UsageLine(MODEL, "cached_input_tokens", 400, priced_as="input_tokens", estimated=True),
    ]
    with till.acting():
        assert settle(reservation, lines) == Decimal("0.0025")
    price = QUOTE[MODEL, "input_tokens"].id
    assert [(row.meter, row.quantity, row.price_id, row.cost, row.estimated) for row in till.ledger()] == [
        ("input_tokens", 600, price, Decimal("0.0015"), False),
        ("cached_input_tokens", 400, price, Decimal("0.001"), True),
    ]


def test_the_same_line_twice_is_refused(till):
    reservation, _ = till.hold("0.10")
    with till.acting(), pytest.raises(IntegrityError, match="billing_usagerecord_once"):
        settle(reservation, [*tokens(1, 0), *tokens(2, 0)])
    assert state_of(till, reservation) == "open"


def test_a_worker_lost_after_dispatch_is_charged_at_its_hold(till):
    budget = till.budget("1.00")
    reservation, _ = till.hold("0.10")
    with till.acting():
        charge_unknown(reservation)
    assert till.account(budget) == (Decimal("0.10"), 0)
    (row,) = till.ledger()
    assert (row.meter, row.quantity, row.cost, row.model) == ("unreconciled", 1, Decimal("0.10"), MODEL)


def test_two_lost_calls_of_one_request_are_both_charged(till):
    request = uuid7()
    for _ in range(2):
        reservation, _held = till.hold("0.10", request_id=request)
        with till.acting():
            charge_unknown(reservation)
    assert [(row.attempt, row.cost) for row in till.ledger()] == [(1, Decimal("0.10")), (2, Decimal("0.10"))]


def test_expired_holds_are_released_or_charged_by_whether_they_were_dispatched(till):
    budget = till.budget("1.00")
    waiting, _ = till.hold("0.10", lease=timedelta(minutes=1))
    never_sent, _ = till.hold("0.20", lease=AGO)
    sent, _ = till.hold("0.30", lease=AGO)
    with till.acting():
        dispatched(sent)
    assert settle_expired() == 2
    assert [state_of(till, ident) for ident in (waiting, never_sent, sent)] == ["open", "released", "unknown"]
    assert till.account(budget) == (Decimal("0.30"), Decimal("0.10"))
    assert settle_expired() == 0


def test_a_call_whose_hold_is_gone_must_not_be_made(till):
    reservation, _ = till.hold("0.20", lease=AGO)
    sweep_reservations()
    with till.acting(), pytest.raises(HoldGone):
        dispatched(reservation)


def test_a_reservation_that_cannot_be_ended_does_not_stop_the_sweep(till, caplog):
    stuck, _ = till.hold("0.20", lease=timedelta(seconds=-2))
    fine, _ = till.hold("0.20", lease=AGO)
    with till.acting(), tenant_scope():
        Reservation.objects.filter(id=stuck).update(accounts="nonsense")
    assert settle_expired() == 1
    assert [state_of(till, ident) for ident in (stuck, fine)] == ["open", "released"]
    assert str(stuck) in caplog.text


def test_a_call_over_midnight_is_paid_by_the_month_of_its_reservation(till):
    budget = till.budget("0.10")
    reservation, _ = till.hold("0.10")
    with till.acting(), tenant_scope():
        Reservation.objects.update(period_start="2026-01-01", created_at="2026-01-31T23:59:58Z")
        BudgetAccount.objects.update(period_start="2026-01-01")
    # The new month has all of its limit, though the old one is held whole.
    new, held = till.hold("0.10")
    assert held == Decimal("0.10")
    with till.acting():
        settle(reservation, tokens(1_000, 0))
        release(new)
    (row,) = till.ledger()
    assert (row.period_start, row.occurred_at) == (
        date(2026, 1, 1),
        datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=UTC),
    )
    with till.acting(), tenant_scope():
        accounts = dict(BudgetAccount.objects.filter(budget_id=budget).values_list("period_start", "spent"))
    assert accounts.pop(date(2026, 1, 1)) == Decimal("0.0025")
    assert list(accounts.values()) == [0]


def test_budget_states_say_what_is_left(till):
    till.budget("1.00")
    reservation, _ = till.hold("0.25")
    till.hold("0.10")
    with till.acting():
        settle(reservation, tokens(10_000, 0))
        (state,) = budget_states(now=datetime.now(UTC))
    assert (state.spent, state.held, state.left) == (Decimal("0.025"), Decimal("0.10"), Decimal("0.875"))


LEDGER = "billing_usagerecord"
CHANGES = [f"UPDATE {LEDGER} SET cost = 0", f"DELETE FROM {LEDGER}", f"TRUNCATE {LEDGER}"]


@pytest.mark.parametrize("statement", CHANGES)
def test_the_ledger_is_append_only_for_every_role(committed, statement):
    till = Till(committed("acme").tenant.id)
    reservation, _ = till.hold("0.10")
    with till.acting():
        settle(reservation, tokens(1, 0))
    with till.acting(), tenant_scope(), pytest.raises(ProgrammingError, match="permission denied"):
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(ProgrammingError, match="permission denied"), connections["staff"].cursor() as cursor:
        cursor.execute(statement)
    with pytest.raises(IntegrityError, match="is append-only"), connections["owner"].cursor() as cursor:
        cursor.execute(statement)
    with psycopg.connect(
        os.environ["SUPERUSER_DATABASE_URL"], dbname=connections["owner"].settings_dict["NAME"]
    ) as all_may:
        with pytest.raises(psycopg.errors.RestrictViolation, match="is append-only"):
            all_may.execute(statement)
    assert len(till.ledger()) == 1


def test_an_account_cannot_go_below_zero(till):
    till.budget("1.00")
    till.hold("0.10")
    with till.acting(), tenant_scope(), pytest.raises(IntegrityError, match="billing_budgetaccount_not_negative"):
        with transaction.atomic():
            BudgetAccount.objects.update(held=-1)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("5", "5.00"), ("0.000000000000", "0.00"), ("1E+3", "1000.00"), ("0.0000025", "0.0000025"), ("-0.5", "-0.50")],
)
def test_an_amount_is_written_without_exponent(amount, text):
    assert plain(Decimal(amount)) == text


def in_threads(count, call):
    """Run `call(n)` in `count` threads that start together; returns what each returned or raised."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(n):
        barrier.wait()
        try:
            results[n] = call(n)
        except Exception as error:  # noqa: BLE001  the caller looks at each
            results[n] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_concurrent_calls_cannot_overspend_one_budget(committed):
    till = Till(committed("acme").tenant.id)
    budget = till.budget("0.50")

    def call(_):
        paid = 0
        for _ in range(25):
            try:
                reservation, _held = till.hold("0.01")
            except (BudgetHeld, BudgetExhausted):
                continue
            with acting_for(till.tenant_id):
                paid += settle(reservation, tokens(0, 1_000))
        return paid

    # 8 × 25 calls of 0.01 each against a budget that pays for 50.
    paid = in_threads(8, call)
    assert sum(paid) == Decimal("0.50")
    assert till.account(budget) == (Decimal("0.50"), 0)
    assert sum(row.cost for row in till.ledger()) == Decimal("0.50")


def test_reserving_and_settling_over_several_budgets_never_deadlocks(committed):
    till = Till(committed("acme").tenant.id)
    with till.acting(), tenant_scope():
        key = ApiKey.objects.get().id
    budgets = [till.budget("100", name=f"b{n}", key_id=key if n % 2 else None) for n in range(6)]

    def call(_):
        for _ in range(30):
            reservation, _held = till.hold("0.01", key_id=key)
            with acting_for(till.tenant_id):
                settle(reservation, tokens(0, 1_000))

    assert in_threads(8, call) == [None] * 8
    assert {till.account(budget) for budget in budgets} == {(Decimal("2.40"), Decimal(0))}


def test_one_reservation_settled_by_many_at_once_is_settled_once(committed):
    till = Till(committed("acme").tenant.id)
    budget = till.budget("1.00")
    reservation, _ = till.hold("0.10", lease=AGO)

    def call(n):
        if n % 2:
            return settle_expired()
        with acting_for(till.tenant_id):
            return settle(reservation, tokens(1_000, 0))

    results = in_threads(8, call)
    assert all(not isinstance(result, Exception) for result in results), results
    assert till.account(budget) in {(Decimal("0.0025"), 0), (Decimal(0), 0)}
    assert sum(row.cost for row in till.ledger()) == till.account(budget)[0]
    with till.acting(), tenant_scope():
        assert UsageRecord.objects.count() <= 1
