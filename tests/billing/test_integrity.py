"""The ledger's alarm: silent while the books agree, and heard of each way in which they can disagree."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from structlog.testing import capture_logs

from billing.corrections import correct
from billing.integrity import KINDS, check, open_faults
from billing.models import LedgerFault, UsageRecord
from billing.reservations import settle
from tenants.append_only import trigger_of
from tenants.audit import COMMAND_LINE
from tests.billing.conftest import Till, tokens
from tests.billing.test_rollups import rolled_up

NOW = datetime.now(UTC)


@contextmanager
def meddling() -> Iterator:
    """A cursor that can write what the database refuses to everybody, with the triggers of the ledger off."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE billing_usagerecord DISABLE TRIGGER {trigger_of(UsageRecord)}")
        yield cursor
        cursor.execute(f"ALTER TABLE billing_usagerecord ENABLE TRIGGER {trigger_of(UsageRecord)}")
    connections["owner"].close()


@pytest.fixture
def books(committed) -> Iterator[Till]:
    """A tenant with two budgets, calls that are rolled up, some that are not, a correction, and a call under way."""
    LedgerFault.objects.using("owner").all().delete()
    till = Till(committed("acme").tenant.id)
    till.budget("100")
    for number in range(4):
        if number == 2:
            rolled_up()
            till.budget("50", name="later")  # set within its period
        call, _ = till.hold("0.5", end_user=f"u{number}")
        with till.acting():
            settle(call, tokens(1_000 + number, 50))
    with till.acting():
        correct(
            corrects=till.ledger()[0].id, quantity=-100, cost=Decimal("-0.00025"), provider_cost=None, reason="twice",
            by=COMMAND_LINE, now=NOW,
        )  # fmt: skip
    till.hold("0.25")
    yield till
    LedgerFault.objects.using("owner").all().delete()


def test_books_that_agree_set_off_nothing(books: Till) -> None:
    with capture_logs() as logs:
        assert check(now=NOW) == 0
        rolled_up()
        assert check(now=NOW, days=2) == 0
    assert logs == []
    assert open_faults() == dict.fromkeys(KINDS, 0)


MEDDLINGS = {
    "cost": "UPDATE billing_usagerecord SET cost = cost + 0.000000000001 WHERE id = {line}",
    "sums": "UPDATE billing_usagehour SET quantity = quantity + 1 WHERE id = (SELECT id FROM billing_usagehour LIMIT 1)",
    "calls": "UPDATE billing_usagerecord SET leads = NOT leads WHERE id = {line}",
    "budget": "UPDATE billing_budgetaccount SET spent = spent - 1",
    "holds": "UPDATE billing_budgetaccount SET held = 0",
    "month": "UPDATE billing_usagerecord SET period_start = period_start - interval '1 month' WHERE id = {line}",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_broken_on_purpose_sets_the_alarm_off_once(books: Till, kind: str, client) -> None:
    line = books.ledger()[1]
    with meddling() as cursor:
        cursor.execute(MEDDLINGS[kind].format(line=f"'{line.id}'"))
    with capture_logs() as logs:
        assert check(now=NOW) > 0
        assert check(now=NOW + timedelta(hours=1)) == 0  # known already
    heard = [entry for entry in logs if entry["kind"] == kind]
    assert {(entry["log_level"], entry["tenant_id"]) for entry in heard} == {("error", str(books.tenant_id))}
    assert open_faults()[kind] == len(heard) > 0
    assert f'atrium_ledger_faults{{kind="{kind}"}} {len(heard)}.0' in client.get("/metrics").content.decode()


def test_a_missing_line_is_missed_and_what_is_mended_is_over(books: Till) -> None:
    rolled_up()
    line = books.ledger()[1]
    with meddling() as cursor:
        cursor.execute(
            "UPDATE billing_usagerecord SET tenant_id = uuidv7() WHERE id = %s RETURNING tenant_id", [line.id]
        )
        [elsewhere] = cursor.fetchone()
    assert check(now=NOW) > 0
    subjects = list(LedgerFault.objects.filter(pseudonym=books.tenant_id).values_list("subject", flat=True))
    assert any(subject.startswith("lines of the hour of") for subject in subjects)
    with meddling() as cursor:
        cursor.execute(
            "UPDATE billing_usagerecord SET tenant_id = %s WHERE tenant_id = %s", [books.tenant_id, elsewhere]
        )
    assert check(now=NOW + timedelta(hours=1)) == 0
    assert open_faults() == dict.fromkeys(KINDS, 0)
