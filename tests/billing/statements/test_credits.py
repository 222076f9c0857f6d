"""Credit notes: exact, on the open month, on the right lines, and never more than was charged."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import BudgetAccount, UsageRecord
from billing.statements.credits import credit, shared_out
from billing.statements.lines import draft
from tenants.audit import Actor
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.billing.conftest import Till
from tests.billing.statements.conftest import NOVEMBER, NOW, OCTOBER, close, use
from tests.billing.test_reservations import in_threads

FINANCE = Actor("staff", "7")


def give_back(till, amount, *, reason="outage of 9 October", now=NOW, **named):
    with till.acting():
        return credit(amount=Decimal(amount), reason=reason, by=FINANCE, now=now, **named)


def corrections(till):
    """model, meter, cost, what is corrected of each correcting row."""
    with till.acting(), tenant_scope():
        rows = UsageRecord.objects.exclude(corrects=None).order_by("id")
        originals = UsageRecord.objects.in_bulk([row.corrects for row in rows])
        return [(row.model, row.meter, row.cost, originals[row.corrects].cost) for row in rows]


def test_a_statements_credit_is_shared_out_among_its_lines(october, statement):
    budget = october.budget("100")
    note = give_back(october, "3.50", statement_id=statement.id)
    # A fifth of 17.50: of 1.50, 14.00 and 2.00, each on the record of the line that cost most.
    assert corrections(october) == [
        ("gpt", "input_tokens", Decimal("-0.30"), Decimal("1.25")),
        ("gpt", "output_tokens", Decimal("-2.80"), Decimal("8.00")),
        ("storage", "storage_byte_hours", Decimal("-0.40"), Decimal("2.00")),
    ]
    assert (note.amount, note.currency, note.period_start, note.statement_id) == (
        Decimal("3.50"), "USD", NOVEMBER, statement.id,
    )  # fmt: skip
    with october.acting():
        november = draft(month=NOVEMBER)
    credits = [line for line in november.lines if line.kind == "credit"]
    assert {(line.corrected_month, line.reason) for line in credits} == {(OCTOBER, "outage of 9 October")}
    assert (november.totals.corrections, november.totals.credits) == (0, Decimal("-3.50"))
    with october.acting(), tenant_scope():
        account = BudgetAccount.objects.get(budget_id=budget, period_start=NOVEMBER)
        # 4 tokens above the million included were used in November.
        assert account.spent == november.totals.total == Decimal("0.00001") - Decimal("3.50")
        [event] = AuditEvent.objects.filter(action="credit_note.created")
    assert (event.actor_id, event.changes) == ("7", {"amount": "3.50", "reason": "outage of 9 October"})


def test_nobody_gets_back_more_than_was_charged(october, statement):
    storage = next(row for row in october.ledger() if row.model == "storage")
    give_back(october, "1.5", record_id=storage.id)
    for amount, named in (("0.500000000001", {"record_id": storage.id}), ("16.01", {"statement_id": statement.id})):
        with pytest.raises(InvalidRequest, match=r"At most (0\.50|16\.00) USD is left"):
            give_back(october, amount, **named)
    give_back(october, "16", statement_id=statement.id)
    for named in ({"record_id": storage.id}, {"statement_id": statement.id}):
        with pytest.raises(InvalidRequest, match=r"At most 0\.00 USD is left"):
            give_back(october, "0.000000000001", **named)
    assert sum(cost for *_, cost, _ in corrections(october)) == Decimal("-17.5")


@pytest.mark.parametrize(
    ("amount", "reason"),
    [("0", "r"), ("-1", "r"), ("NaN", "r"), ("Infinity", "r"), ("0.0000000000001", "r"), ("1", " "), ("1", "x" * 201)],
)
def test_what_cannot_be_credited_is_refused_and_writes_nothing(october, statement, amount, reason):
    with pytest.raises(InvalidRequest):
        give_back(october, amount, reason=reason, statement_id=statement.id)
    assert corrections(october) == []


def test_a_note_names_one_thing_of_the_tenants_own(october, statement, globex):
    line = october.ledger()[0].id
    for named in ({}, {"statement_id": statement.id, "record_id": line}):
        with pytest.raises(InvalidRequest, match="Name what is credited"):
            give_back(october, "1", **named)
    for named in ({"statement_id": statement.id}, {"record_id": line}, {"record_id": uuid7()}):
        with acting_for(globex.tenant.id), pytest.raises(NotFound):
            credit(amount=Decimal(1), reason="r", by=FINANCE, now=NOW, **named)


def test_two_notes_at_once_do_not_both_find_the_money(committed):
    till = Till(committed("acme").tenant.id)
    use(till, datetime(2026, 10, 9, tzinfo=UTC), "storage", "storage_byte_hours", 10**9)
    statement = close(till).statement

    def work(_number):
        try:
            return give_back(till, "0.6", statement_id=statement.id).amount
        except InvalidRequest:
            return None

    assert sorted(map(str, in_threads(4, work))) == ["0.6", "None", "None", "None"]


amounts = st.integers(1, 10**24 - 1).map(lambda units: Decimal(units).scaleb(-12))


@given(amounts, st.lists(amounts, min_size=1, max_size=20))
def test_shares_add_up_to_the_last_digit(amount, weights):
    shares = shared_out(amount, weights)
    assert sum(shares) == amount
    assert all(share >= 0 and share == round(share, 12) for share in shares)
