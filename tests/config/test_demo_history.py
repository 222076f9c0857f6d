"""The demo's made-up month: the books agree with it, and whoever looks at it is told."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from billing import integrity
from billing.models import BudgetAccount, Statement, UsageDay, UsageRecord
from config.demo.history import make_history
from config.demo.past_calls import DAYS, TAG, past_calls
from inference.models import Generation, InferenceAttempt
from tenants.scope import acting_for, tenant_scope
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def test_the_calls_reach_over_a_month_and_are_the_same_each_time():
    calls, again = list(past_calls(now=NOW)), list(past_calls(now=NOW))
    assert [(call.at, call.input_tokens, call.failure) for call in calls] == [
        (call.at, call.input_tokens, call.failure) for call in again
    ]
    assert {call.at.date() for call in calls} == {(NOW - timedelta(days=ago)).date() for ago in range(DAYS + 1)}
    assert max(call.at for call in calls) < NOW
    milliseconds = [call.id.int >> 80 for call in calls]
    assert milliseconds == sorted(milliseconds)
    assert not {call.id for call in calls} & {call.id for call in again}
    failures = Counter(bool(call.failure) for call in calls)
    assert 0.01 < failures[True] / len(calls) < 0.1


@pytest.fixture
def few_calls(monkeypatch):
    """Each twentieth, so that it takes a second."""
    monkeypatch.setattr("config.demo.history.past_calls", lambda *, now: list(past_calls(now=now))[::20])


def test_the_books_agree_with_it_and_its_lines_are_marked(acme, few_calls):
    now = datetime.now(UTC)
    made = make_history(slug=acme.tenant.slug, now=now)
    assert integrity.check(now=now) == 0
    with acting_for(acme.tenant.id), tenant_scope():
        calls = Generation.objects.all()
        assert len(calls) == made == InferenceAttempt.objects.count()
        answered = {call.id for call in calls if call.state == "completed"}
        lines = UsageRecord.objects.all()
        assert {line.request_id for line in lines} == answered
        assert {line.tags[TAG] for line in lines} == {"history"}
        cost = sum(line.cost for line in lines)
        assert cost == sum((row.cost or Decimal(0)) for row in InferenceAttempt.objects.all()) > 0
        month = now.date().replace(day=1)
        accounts = BudgetAccount.objects.filter(period_start=month)
        assert sum(account.spent for account in accounts) == sum(
            line.cost for line in lines if line.period_start == month and line.tags["team"] == "support"
        )
        assert Statement.objects.get().total == sum(line.cost for line in lines if line.period_start < month)
        assert not UsageDay.objects.exclude(tags__has_key=TAG).exists()


def test_every_page_of_such_a_tenant_says_so(acme, globex, few_calls):
    make_history(slug=acme.tenant.slug, now=datetime.now(UTC))
    client: Client = desk(seat(acme, "viewer"))
    assert "Demo data" in client.get("/admin/").content.decode()
    assert "Demo data" not in desk(seat(globex, "viewer")).get("/admin/").content.decode()
