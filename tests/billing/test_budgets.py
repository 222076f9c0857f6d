"""Budgets of keys, tags and tenants, per day, month and in total. Amounts were worked out by hand from conftest's prices."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Sum

from billing.budgets.setting import BudgetConflict, change_budget, delete_budget, set_budget
from billing.models import Budget, BudgetAccount, Reservation, UsageRecord
from billing.reservations import BudgetExhausted, BudgetHeld, charge_unknown, release, reserve_child, settle
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import ApiKey, AuditEvent
from tenants.scope import acting_for, tenant_scope
from tenants.tags import set_key_tags
from tests.billing.conftest import QUOTE, Till, tokens
from tests.billing.test_reservations import in_threads

TODAY = datetime.now(UTC).date()


@pytest.fixture
def key_id(till):
    """A key with the tag team=ads."""
    with till.acting():
        with tenant_scope():
            key = ApiKey.objects.get()
        return set_key_tags(key_id=key.id, tags={"team": "ads"}, by=COMMAND_LINE).id


def budget(till, limit, name="b", **options):
    with till.acting():
        return set_budget(name=name, limit=Decimal(limit), by=COMMAND_LINE, **options).id


def spend(till, output_tokens, **options):
    """A call of so many output tokens, each 0.00001."""
    reservation, _ = till.hold("1", **options)
    with till.acting():
        return settle(reservation, tokens(0, output_tokens))


def accounts(till, ident):
    with till.acting(), tenant_scope():
        rows = BudgetAccount.objects.filter(budget_id=ident).order_by("period_start")
        return list(rows.values_list("period_start", "spent", "held"))


def test_a_budget_counts_what_its_period_has_seen_before_it_was_set(till, key_id):
    spend(till, 1_000, key_id=key_id)
    spend(till, 2_000)
    under_way, _ = till.hold("0.25", key_id=key_id)
    other, _ = till.hold("0.5")
    with till.acting():
        reserve_child(under_way, reservation_id=(part := uuid7()), operation="part", hold=Decimal("0.125"), quote=QUOTE,
                      lease=timedelta(minutes=1))  # fmt: skip
    of_tenant, of_key = budget(till, "1", "tenant"), budget(till, "1", "key", key_id=key_id)
    of_tag = budget(till, "1", "tag", tag=("team", "ads"))
    assert till.account(of_tenant) == (Decimal("0.03"), Decimal("0.875"))
    assert till.account(of_key) == till.account(of_tag) == (Decimal("0.01"), Decimal("0.375"))
    # The calls under way hold on it: what they leave over is free again, what they use is spent.
    with till.acting():
        settle(part, tokens(0, 100, attempt=2))
        charge_unknown(under_way)
        release(other)
    assert till.account(of_tenant) == (Decimal("0.281"), 0)
    assert till.account(of_key) == till.account(of_tag) == (Decimal("0.261"), 0)
    with pytest.raises(BudgetExhausted):
        till.hold("0.8")


def test_a_tags_budget_limits_what_has_the_tag_and_nothing_else(till, key_id):
    ident = budget(till, "0.05", tag=("team", "ads"))
    both = budget(till, "0.02", "both", tag=("team", "ads"), key_id=key_id)
    elsewhere = budget(till, "0", "elsewhere", tag=("team", "search"))
    assert till.hold("9")[1] == 9  # of no key, so without the tag
    assert till.hold("0.03", key_id=key_id, at_least="0")[1] == Decimal("0.02")
    with pytest.raises(BudgetHeld) as refusal:
        till.hold("0.01", key_id=key_id)
    assert refusal.value.data["budget"]["budget"] == "both"
    assert (till.account(ident), till.account(both)) == ((0, Decimal("0.02")), (0, Decimal("0.02")))
    assert accounts(till, elsewhere) == []
    with till.acting():
        set_key_tags(key_id=key_id, tags={"team": "search"}, by=COMMAND_LINE)
    with pytest.raises(BudgetExhausted, match="'elsewhere' is exhausted"):
        till.hold("0.01", key_id=key_id)


def spent_at(till, at, cost, **tags):
    """A line of the ledger, as if a call had been settled then."""
    with till.acting(), tenant_scope() as tenant_id:
        UsageRecord.objects.create(
            tenant_id=tenant_id, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="x", model="m",
            meter="input_tokens", quantity=1, unit_price=1, per=1, cost=Decimal(cost), currency="USD", tags=tags,
            period_start=at.date().replace(day=1), occurred_at=at,
        )  # fmt: skip


def midnight(days_ago):
    return datetime.combine(TODAY - timedelta(days=days_ago), datetime.min.time(), UTC)


def test_days_months_and_totals_each_have_their_period(till):
    yesterday = TODAY - timedelta(days=1)
    spent_at(till, midnight(0) - timedelta(microseconds=1), "0.02")
    day, month = budget(till, "0.03", "day", period="day"), budget(till, "1", "month")
    total = budget(till, "0.07", "total", period="total", starts_on=yesterday)
    assert till.hold("1", at_least="0")[1] == Decimal("0.03")
    held, before = Decimal("0.03"), Decimal("0.02") if yesterday.month == TODAY.month else 0
    assert accounts(till, day) == [(TODAY, 0, held)]
    assert accounts(till, month) == [(TODAY.replace(day=1), before, held)]
    assert accounts(till, total) == [(yesterday, Decimal("0.02"), held)]
    with pytest.raises(BudgetHeld) as refusal:
        till.hold("0.01")
    detail = refusal.value.data["budget"]
    assert (detail["period"], detail["resets_at"]) == ("day", (TODAY + timedelta(days=1)).isoformat())


def test_a_total_counts_from_its_day_on_and_never_resets(till):
    for days, cost in ((400, "5"), (40, "0.25"), (39, "0.5")):
        spent_at(till, midnight(days), cost)
    ident = budget(till, "0.75", period="total", starts_on=TODAY - timedelta(days=40))
    assert till.account(ident) == (Decimal("0.75"), 0)
    with pytest.raises(BudgetExhausted, match=r"0\.75 of 0\.75 USD spent.*It does not reset"):
        till.hold("0.01")


def test_a_soft_budget_never_refuses(till):
    soft, hard = budget(till, "0.01", "soft", hard=False), budget(till, "0.10", "hard")
    assert spend(till, 5_000, at_least="0") == Decimal("0.05")
    assert till.account(soft) == till.account(hard) == (Decimal("0.05"), 0)
    assert till.hold("9", at_least="0")[1] == Decimal("0.05")


def test_changes_hold_from_the_next_call_on_and_are_audited(till):
    ident = budget(till, "0.01", alert_shares=[50])
    with pytest.raises(BudgetExhausted):
        till.hold("0.05")
    with till.acting():
        change_budget(budget_id=ident, by=COMMAND_LINE, limit=Decimal("0.05"), name="c", hard=True)
        change_budget(budget_id=ident, by=COMMAND_LINE, name="c")  # changes nothing
    held, _ = till.hold("0.05")
    with till.acting():
        change_budget(budget_id=ident, by=COMMAND_LINE, hard=False, alert_shares=[90, 90, 10])
    till.hold("5")
    with till.acting():
        delete_budget(budget_id=ident, by=COMMAND_LINE)
        assert settle(held, tokens(0, 1_000)) == Decimal("0.01")  # what was under way ends as ever
        with tenant_scope():
            assert not BudgetAccount.objects.exists()
            changes = list(
                AuditEvent.objects.filter(action__startswith="budget.").order_by("id").values_list("changes")
            )
    assert changes == [
        ({"limit": [None, "0.01"], "period": "month", "hard": True},),
        ({"limit": ["0.010000000000", "0.05"], "name": ["b", "c"]},),
        ({"hard": ["True", "False"], "alert_shares": ["[50]", "[10, 90]"]},),
        ({"name": "c", "limit": "0.050000000000"},),
    ]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"alert_shares": [0]}, "alert_shares"), ({"alert_shares": [1001]}, "alert_shares"),
        ({"alert_shares": list(range(1, 12))}, "alert_shares"), ({"period": "week"}, "period"),
        ({"tag": ("", "x")}, "tag.name"), ({"tag": ("team", "")}, "tag.value"),
        ({"period": "month", "starts_on": TODAY}, "starts_on"),
        ({"period": "total", "starts_on": TODAY + timedelta(days=1)}, "starts_on"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_nothing_is_written(till, options, param):
    with pytest.raises(InvalidRequest) as refusal:
        budget(till, "1", **options)
    assert refusal.value.param == param
    with till.acting(), tenant_scope():
        assert not Budget.objects.exists()


def test_what_a_budget_limits_never_changes(till, key_id):
    ident = budget(till, "1", tag=("team", "ads"))
    for options in ({}, {"tag": ("team", "x")}, {"tag": ("team", "ads"), "key_id": key_id}, {"period": "day"}):
        with pytest.raises(BudgetConflict):
            budget(till, "2", **options)
    budget(till, "1", "other")
    with till.acting():
        with pytest.raises(BudgetConflict):
            change_budget(budget_id=ident, by=COMMAND_LINE, name="other")
        for call in (change_budget, delete_budget):
            with pytest.raises(NotFound):
                call(budget_id=uuid7(), by=COMMAND_LINE)


def test_a_least_with_more_digits_than_a_hold_keeps_is_no_defect(till):
    budget(till, "0")
    assert till.hold("0.0000000000004")[1] == 0


def test_budgets_set_while_calls_come_and_go_count_every_one(committed):
    till = Till(committed("acme").tenant.id)
    with till.acting(), tenant_scope():
        key = ApiKey.objects.get().id

    def call(n):
        for step in range(12):
            if n == 0:
                budget(
                    till,
                    "100",
                    f"b{step}",
                    key_id=key if step % 2 else None,
                    period=("day", "month", "total")[step % 3],
                )
                continue
            held = [till.hold("0.01", key_id=key)[0] for _ in range(2)]
            with acting_for(till.tenant_id):
                for reservation in held:
                    settle(reservation, tokens(0, 500))

    assert in_threads(5, call) == [None] * 5
    with till.acting(), tenant_scope():
        ledger = UsageRecord.objects.aggregate(cost=Sum("cost"))["cost"]
        assert ledger == Decimal("0.48")
        assert not Reservation.objects.filter(state="open").exists()
        assert set(BudgetAccount.objects.values_list("spent", "held")) == {(ledger, Decimal(0))}
        assert BudgetAccount.objects.count() == 12


def test_accounts_of_an_earlier_period_count_what_stands_in_it(till, key_id):
    """A charge may come late, for a month that no budget has an account of."""
    at = datetime(2026, 2, 28, 12, tzinfo=UTC)
    spent_at(till, at, "0.25", team="ads")
    ident = budget(till, "1", tag=("team", "ads"))
    with till.acting(), tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_above(%s, NULL, %s, %s)", [tenant_id, '{"team": "ads"}', at])
        assert cursor.fetchone() == (1,)
    assert accounts(till, ident) == [(date(2026, 2, 1), Decimal("0.25"), 0)]
