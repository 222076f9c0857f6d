"""Alerts of budgets, each once a period; and the forecast. Figures were worked out by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from django.db import connection

from billing.budgets.alerts import raise_alerts
from billing.budgets.setting import change_budget, set_budget
from billing.budgets.states import budget_states
from billing.models import BudgetAccount, BudgetAlert
from billing.reservations import settle
from billing.tasks import forecast_budgets, sweep_budget_alerts
from tenants.audit import COMMAND_LINE
from tenants.members import add_member
from tenants.models import Letter, Role
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks.models import WebhookEvent
from tests.billing.conftest import Till, tokens
from tests.billing.test_reservations import in_threads

#: Noon of the 16th of a month of 31 days: half of it is over.
HALF = datetime(2026, 10, 16, 12, tzinfo=UTC)


def spend(till, output_tokens):
    """Each token is 0.00001."""
    reservation, _ = till.hold("5", at_least="1")
    with till.acting():
        settle(reservation, tokens(0, output_tokens))


def shares(till):
    with till.acting(), tenant_scope():
        return list(BudgetAlert.objects.order_by("id").values_list("kind", "share", "spent", "limit"))


@pytest.fixture
def told(acme, settings):
    """acme's people, and an endpoint that wants alerts."""
    settings.EMAIL_URL = "smtp://mail.example.com"
    hook = {"name": "n", "url": "https://acme.example/", "event_types": ["budget.alert"]}
    assert acme.client.post("/v1/webhook_endpoints", hook).status_code in (200, 201)
    with acting_for(acme.tenant.id):
        for role in (Role.FINANCE, Role.DEVELOPER):
            add_member(email=f"{role}@acme.example", role=role, by=COMMAND_LINE)


def test_each_share_is_told_once_by_webhook_and_letter(acme, told, till):
    made = acme.client.post("/v1/budgets", {"name": "m", "limit": "10.0", "alert_shares": [100, 50, 80]}).json()
    spend(till, 400_000)
    sweep_budget_alerts()
    assert shares(till) == []
    spend(till, 400_000)  # 8.00 of 10
    for _ in range(3):
        sweep_budget_alerts()
    eight, ten = Decimal(8), Decimal(10)
    assert shares(till) == [("share", 50, eight, ten), ("share", 80, eight, ten)]
    with till.acting(), tenant_scope():
        bodies = WebhookEvent.objects.order_by("id").values_list("body", flat=True)
        events = [orjson.loads(body)["data"] for body in bodies]
        letters = list(Letter.objects.order_by("id").values_list("recipient", "subject"))
        assert "Spent: 8.00 of 10.00 USD" in Letter.objects.first().text
    assert [(event["share"], event["spent"], event["budget"]["id"]) for event in events] == [
        (50, "8.00", made["id"]), (80, "8.00", made["id"]),
    ]  # fmt: skip
    assert letters == [
        ("finance@acme.example", "Acme: budget 'm' has reached 50 %"),
        ("finance@acme.example", "Acme: budget 'm' has reached 80 %"),
    ]
    listed = acme.client.get(f"/v1/budgets/{made['id']}/alerts").json()["data"]
    assert [(alert["share"], alert["kind"], alert["limit"]) for alert in listed] == [
        (80, "share", "10.00"),
        (50, "share", "10.00"),
    ]
    # With a higher limit half of it can be reached again, and is.
    acme.client.post(f"/v1/budgets/{made['id']}", {"limit": "16"})
    sweep_budget_alerts()
    assert shares(till)[2:] == [("share", 50, eight, Decimal(16))]


def test_many_sweeps_at_once_tell_once(committed):
    till = Till(committed("acme").tenant.id)
    till.budget("1.0")
    spend(till, 85_000)
    now = datetime.now(UTC)
    assert sum(in_threads(4, lambda _: raise_alerts(now=now))) == 1
    assert [alert[1] for alert in shares(till)] == [80]


def account(till, budget, start, spent):
    with till.acting(), tenant_scope() as tenant_id:
        BudgetAccount.objects.create(
            tenant_id=tenant_id, budget_id=budget, period_start=start, spent=Decimal(spent), held=0
        )


def state(till, at):
    with till.acting():
        return budget_states(now=at)[-1]


@pytest.mark.parametrize(
    ("spent", "before", "projected", "runs_out"),
    [
        ("6", None, Decimal(12), HALF + timedelta(days=15.5) * Decimal(4).__float__() / 6),
        ("4", None, Decimal(8), None),
        # The month before counts a tenth: (4 + 0.1 × 28) / (0.5 + 0.1) is 11⅓ a month, 5⅔ for the other half.
        ("4", "28", Decimal("9.666666666667"), None),
        ("0", None, Decimal(0), None),
        ("12", None, Decimal(24), None),
    ],
)
def test_a_forecast_goes_on_as_the_period_went(till, spent, before, projected, runs_out):
    budget = till.budget("10")
    account(till, budget, "2026-10-01", spent)
    if before:
        account(till, budget, "2026-09-01", before)
    found = state(till, HALF)
    assert (found.projected, found.will_be_exceeded) == (projected, projected > 10)
    assert (found.runs_out_at is None) == (runs_out is None)
    if runs_out:
        assert abs(found.runs_out_at - runs_out) < timedelta(seconds=1)


def test_at_first_a_forecast_needs_the_period_before(till):
    budget = till.budget("10")
    early = datetime(2026, 10, 2, tzinfo=UTC)
    account(till, budget, "2026-10-01", "1")
    assert state(till, early).projected is None
    account(till, budget, "2026-09-01", "2")
    # A day of 31: 1 + 30/31 × (1 + 0.2) / (1/31 + 0.1) = 1 + 36 / 4.1.
    assert state(till, early).projected == Decimal("9.780487804878")


def test_a_total_runs_out_at_the_pace_since_its_start(till):
    with till.acting():
        start = datetime.now(UTC).date() - timedelta(days=9)
        set_budget(name="t", limit=Decimal(50), by=COMMAND_LINE, period="total", starts_on=start)
        with tenant_scope(), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM billing_budget WHERE name = 't'")
            budget = cursor.fetchone()[0]
    account(till, budget, start, "20")
    found = state(till, datetime.combine(start, datetime.min.time(), UTC) + timedelta(days=10))
    # Two a day: the other thirty last fifteen days.
    assert (found.projected, found.period_end) == (None, None)
    assert found.runs_out_at == datetime.combine(start, datetime.min.time(), UTC) + timedelta(days=25)


def test_an_overrun_to_come_is_told_once_and_only_while_it_is_to_come(acme, told, till):
    budget = till.budget("10")
    account(till, budget, "2026-10-01", "6")
    assert [raise_alerts(now=HALF, forecast=True) for _ in range(2)] == [1, 0]
    assert shares(till) == [("forecast", 100, Decimal(6), Decimal(10))]
    with till.acting(), tenant_scope():
        assert Letter.objects.get().subject == "Acme: budget 'monthly' will be exceeded"
        assert "will have cost 12.00 USD" in Letter.objects.get().text
        assert orjson.loads(WebhookEvent.objects.get().body)["data"]["projected"] == "12.00"
    with till.acting():
        change_budget(budget_id=budget, by=COMMAND_LINE, limit=Decimal(5))
    assert raise_alerts(now=HALF, forecast=True) == 0  # it has come
    forecast_budgets()
