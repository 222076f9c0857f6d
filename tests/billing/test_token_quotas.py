"""Tokens a month, held with the money: all of it or nothing; what clamps the tokens clamps the money by the same share."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from billing.budgets.quotas import Quotas, quotas_of
from billing.budgets.refusals import QuotaHeld, QuotaUsedUp
from billing.limits.in_force import forget_limits
from billing.models import LimitOverride, Reservation, TokenAccount
from billing.reservations import BudgetExhausted, charge_unknown, release, reserve, settle
from tenants.ids import uuid7
from tenants.models import ApiKey
from tenants.scope import tenant_scope
from tests.billing.conftest import QUOTE, Till, tokens
from tests.billing.test_reservations import in_threads

MONTH = datetime.now(UTC).date().replace(day=1)


@pytest.fixture
def key_id(till):
    with till.acting(), tenant_scope():
        return ApiKey.objects.get().id


@pytest.fixture(autouse=True)
def _nothing_remembered():
    forget_limits()
    yield
    forget_limits()


def limit(till, most, key_id=None):
    """An override that is in force from now on."""
    with till.acting(), tenant_scope() as tenant_id:
        LimitOverride.objects.create(
            tenant_id=tenant_id, key_id=key_id, limit="tokens_per_month", value=most, valid_from=datetime.now(UTC)
        )
    forget_limits()


def hold(till, most, key_id=None, money="0.10"):
    ident = uuid7()
    with till.acting():
        reserve(
            reservation_id=ident, request_id=ident, key_id=key_id, operation="completions", hold=Decimal(money),
            currency="USD", quote=QUOTE, lease=timedelta(minutes=5), tokens=most,
        )  # fmt: skip
    return ident


def used(till):
    """key or None → (used, held) of the month."""
    with till.acting(), tenant_scope():
        rows = TokenAccount.objects.values_list("key_id", "period_start", "used", "held")
        assert {row[1] for row in rows} <= {MONTH}
        return {key: figures for key, _, *figures in rows}


def test_tokens_are_held_and_then_used_of_key_and_tenant(till, key_id):
    limit(till, 1_000)
    limit(till, 300, key_id)
    first, second = hold(till, 100, key_id), hold(till, 200, key_id)
    assert used(till) == {key_id: [0, 300], None: [0, 300]}
    with pytest.raises(QuotaHeld) as refusal:
        hold(till, 1, key_id)
    assert (refusal.value.status, refusal.value.code, refusal.value.headers) == (
        429,
        "quota_held",
        {"retry-after": "1"},
    )
    hold(till, 700)
    with till.acting():
        settle(first, tokens(60, 45))  # five more than were held: they were used, so they count
        charge_unknown(second)
    assert used(till) == {key_id: [305, 0], None: [305, 700]}
    with pytest.raises(QuotaUsedUp) as refusal:
        hold(till, 1, key_id)
    error = refusal.value
    assert (error.status, error.code, error.headers["x-should-retry"]) == (429, "insufficient_quota", "false")
    first_of_next = (MONTH + timedelta(days=32)).replace(day=1).isoformat()
    assert error.data["quota"] == {
        "quota": "key", "limit": 300, "used": 305, "held": 0, "needed": 1, "resets_at": first_of_next,
    }  # fmt: skip
    assert "token quota of this key is used up: 305 of 300 tokens" in error.message


def test_a_refusal_by_either_leaves_no_trace_of_the_other(till, key_id):
    limit(till, 1_000)
    budget = till.budget("0.05")
    with pytest.raises(BudgetExhausted, match="'monthly' is exhausted"):
        hold(till, 10, key_id)
    assert used(till) == {}
    with pytest.raises(QuotaUsedUp):
        hold(till, 1_001, key_id, money="0.01")
    with till.acting(), tenant_scope():
        assert not Reservation.objects.exists()
        assert not budget_accounts(budget)


def budget_accounts(budget):
    with connection.cursor() as cursor:
        cursor.execute("SELECT held FROM billing_budgetaccount WHERE budget_id = %s AND held <> 0", [budget])
        return cursor.fetchall()


def test_a_quota_set_within_a_month_counts_what_was_used_in_it(till, key_id):
    early = hold(till, 500, key_id)
    with till.acting():
        settle(early, tokens(100, 20))
    assert used(till) == {}
    limit(till, 130)
    with pytest.raises(QuotaUsedUp):
        hold(till, 11)
    release_me = hold(till, 10)
    with till.acting():
        release(release_me)
    assert used(till) == {None: [120, 0]}


@pytest.mark.parametrize(("left", "held", "money"), [(1_000, 900, "1.10"), (700, 700, "0.85"), (100, 100, "0.10")])
def test_what_clamps_the_tokens_clamps_the_money_by_the_same_share(till, left, held, money):
    """At least 100 tokens for 0.10, at most 900 for 1.10; 700 are three quarters of the way, so 0.10 + 0.75 × 1."""
    with till.acting(), tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute(
            "SELECT reserve_spend(%s, %s, %s, NULL, 'x', '', 0.10, 1.10, 'USD', '[]', '1 minute', '{}', false, 100, 900, 0, "
            "%s)",
            [tenant_id, (ident := uuid7()), ident, left],
        )
        assert cursor.fetchone() == (Decimal(money),)
        assert Reservation.objects.get(id=ident).tokens == held


def test_a_keys_override_goes_beside_the_tenants_and_none_is_no_limit(till, key_id):
    with till.acting():
        assert quotas_of(key_id) == quotas_of(None) == Quotas(0, 0)
    limit(till, 7, key_id)
    limit(till, 9)
    with till.acting():
        assert (quotas_of(key_id), quotas_of(uuid7()), quotas_of(None)) == (Quotas(7, 9), Quotas(0, 9), Quotas(0, 9))


def test_concurrent_calls_cannot_slip_past_a_quota(committed):
    till = Till(committed("acme").tenant.id)
    with till.acting(), tenant_scope():
        key = ApiKey.objects.get().id
    limit(till, 100)
    limit(till, 60, key)

    def call(n):
        made = 0
        for _ in range(10):
            try:
                ident = hold(till, 5, key if n % 2 else None)
            except (QuotaHeld, QuotaUsedUp):
                continue
            with till.acting():
                settle(ident, tokens(2, 3))
            made += 5
        return made

    made = in_threads(6, call)
    assert sum(made) == 100 and sum(made[1::2]) <= 60
    assert used(till) == {key: [sum(made[1::2]), 0], None: [100, 0]}
