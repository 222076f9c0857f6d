"""Holds taken while a call is under way: from the call's own budgets, settled by themselves, gone with the call."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError

from billing.models import Reservation
from billing.prices import UnitPrice
from billing.reservations import (
    BudgetExhausted,
    BudgetHeld,
    HoldGone,
    UsageLine,
    charge_unknown,
    dispatched,
    release,
    reserve_child,
    settle,
    settle_expired,
)
from tenants.ids import uuid7
from tenants.models import ApiKey
from tenants.scope import tenant_scope
from tests.billing.conftest import Till, tokens
from tests.billing.test_reservations import in_threads, state_of

JUDGE = "judge"
#: A text judged costs 0.002.
PRICES = {(JUDGE, "moderation_calls"): UnitPrice(uuid7(), JUDGE, "moderation_calls", Decimal(2), 1_000)}


def child(till, parent, hold="0.002", *, at_least=None, lease=timedelta(minutes=1)):
    ident = uuid7()
    with till.acting():
        held = reserve_child(
            parent, reservation_id=ident, operation="moderation", hold=Decimal(hold),
            hold_min=None if at_least is None else Decimal(at_least), quote=PRICES, lease=lease,
        )  # fmt: skip
    return ident, held


def judged(n=1, attempt=1):
    return [UsageLine(JUDGE, "moderation_calls", n, attempt)]


def test_a_child_takes_from_its_parents_budgets_and_is_settled_by_itself(till):
    with till.acting(), tenant_scope():
        key = ApiKey.objects.get().id
    of_tenant, of_key = till.budget("1.00"), till.budget("0.50", name="key", key_id=key)
    parent, _ = till.hold("0.10", key_id=key, end_user="ann")
    moderation, held = child(till, parent)
    assert held == Decimal("0.002")
    assert till.account(of_tenant) == till.account(of_key) == (0, Decimal("0.102"))
    with till.acting():
        assert settle(moderation, judged()) == Decimal("0.002")
    assert till.account(of_tenant) == till.account(of_key) == (Decimal("0.002"), Decimal("0.10"))
    with till.acting():
        assert settle(parent, tokens(1_000, 0)) == Decimal("0.0025")
    assert till.account(of_tenant) == till.account(of_key) == (Decimal("0.0045"), 0)
    assert [(row.operation, row.model, row.key_id, row.end_user, row.request_id) for row in till.ledger()] == [
        ("moderation", JUDGE, key, "ann", parent),
        ("completions", "gpt-test", key, "ann", parent),
    ]


def test_a_child_is_refused_or_clamped_where_the_budget_is_taken(till):
    budget = till.budget("0.101")
    parent, _ = till.hold("0.10")
    with pytest.raises(BudgetHeld) as refusal:
        child(till, parent)
    assert refusal.value.data["budget"]["needed"] == "0.002"
    assert child(till, parent, at_least="0.001")[1] == Decimal("0.001")
    assert till.account(budget) == (0, Decimal("0.101"))
    with till.acting():
        settle(parent, tokens(40_000, 0))
    other, _ = till.hold("0", at_least="0")
    with pytest.raises(BudgetExhausted):
        child(till, other)


def test_children_end_with_their_parent_by_what_became_of_them(till):
    budget = till.budget("1.00")
    parent, _ = till.hold("0.10")
    waiting, sent, done = (child(till, parent)[0] for _ in range(3))
    with till.acting():
        dispatched(sent)
        settle(done, judged())
        settle(parent, tokens(1_000, 0))
    assert [state_of(till, ident) for ident in (waiting, sent, done, parent)] == [
        "released", "unknown", "settled", "settled",
    ]  # fmt: skip
    # The judged text and the call's 0.0025; of the one that was sent nothing is known, so its hold is charged.
    assert till.account(budget) == (Decimal("0.0065"), 0)
    with till.acting():
        assert settle(sent, judged()) is None
        with pytest.raises(HoldGone):
            dispatched(waiting)


@pytest.mark.parametrize("end", [release, charge_unknown])
def test_nothing_is_held_for_a_call_that_has_ended(till, end):
    parent, _ = till.hold("0.10")
    held, _ = child(till, parent)
    with till.acting():
        end(parent)
    assert state_of(till, held) == "released"
    with pytest.raises(HoldGone):
        child(till, parent)
    with pytest.raises(HoldGone):
        child(till, uuid7())


def test_a_child_has_no_children(till):
    parent, _ = till.hold("0.10")
    with pytest.raises(HoldGone):
        child(till, child(till, parent)[0])


def test_another_tenants_call_has_no_children_here(till, globex):
    parent, _ = till.hold("0.10")
    with pytest.raises(HoldGone):
        child(Till(globex.tenant.id), parent)


def test_children_of_a_dead_worker_end_with_its_call(till):
    budget = till.budget("1.00")
    parent, _ = till.hold("0.10", lease=timedelta(seconds=-1))
    sent, _ = child(till, parent)
    with till.acting():
        dispatched(parent)
        dispatched(sent)
    assert settle_expired() == 1
    assert [state_of(till, ident) for ident in (parent, sent)] == ["unknown", "unknown"]
    assert till.account(budget) == (Decimal("0.102"), 0)
    # A child's own lease ends it too, while its parent goes on.
    parent, _ = till.hold("0.10")
    lost, _ = child(till, parent, lease=timedelta(seconds=-1))
    assert settle_expired() == 1
    assert [state_of(till, ident) for ident in (parent, lost)] == ["open", "released"]


def test_a_child_cannot_hold_less_than_nothing(till):
    parent, _ = till.hold("0.10")
    with pytest.raises(DatabaseError, match="cannot be at least"):
        child(till, parent, "0.1", at_least="0.2")


def test_children_and_parents_that_end_at_once_keep_the_books_and_never_deadlock(committed):
    till = Till(committed("acme").tenant.id)
    budgets = [till.budget("100"), till.budget("100", name="second")]

    def call(_):
        for n in range(15):
            parent, _held = till.hold("0.01")
            children = [child(till, parent)[0] for _ in range(2)]
            ends = [lambda p=parent: settle(p, tokens(0, 100)), lambda c=children[0]: settle(c, judged())]
            if n % 2:
                ends.reverse()
            with till.acting():
                for end in ends:
                    end()

    assert in_threads(6, call) == [None] * 6
    # 6 × 15 calls of 0.001; of each, the child was settled for 0.002 where it came first: 7 of 15.
    assert {till.account(budget) for budget in budgets} == {(Decimal("0.09") + 6 * 7 * Decimal("0.002"), Decimal(0))}
    with till.acting(), tenant_scope():
        assert not Reservation.objects.filter(state="open").exists()


def test_a_parent_and_its_child_settled_by_two_workers_at_once(committed):
    till = Till(committed("acme").tenant.id)
    budget = till.budget("100")
    pairs = []
    for _ in range(20):
        parent, _held = till.hold("0.01")
        pairs.append((parent, child(till, parent)[0]))

    def call(n):
        with till.acting():
            return [settle(pair[n], judged() if n else tokens(0, 100)) for pair in pairs]

    parents, children = in_threads(2, call)
    assert parents == [Decimal("0.001")] * 20
    spent = Decimal("0.02") + sum(cost or 0 for cost in children)
    assert till.account(budget) == (spent, Decimal(0))
