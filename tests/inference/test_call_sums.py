"""Sums of calls by hour: each call once, before and after it is rolled up; percentiles near the true ones; nobody else's."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connections

from inference.call_sums import Calls, calls_by_tenant, calls_over_time, roll_up
from inference.models import CallHour, Generation
from tenants.ids import uuid7
from tenants.scope import acting_for, as_staff, tenant_scope

HOUR = timedelta(hours=1)
#: Long over, so that all of it is rolled up.
THEN = datetime(2026, 3, 10, 8, tzinfo=UTC)


def call(
    tenant_id: UUID, *, ended: datetime, seconds: float = 1.0, state: str = "completed", inbox: str = "web"
) -> None:
    row = {"kind": "chat", "key_id": uuid7(), "alias": "gpt", "model": "gpt", "terms": {}, "inbox": inbox}
    with acting_for(tenant_id), tenant_scope():
        made = Generation.objects.create(tenant_id=tenant_id, **row, state=state, finished_at=ended)
        Generation.objects.filter(id=made.id).update(created_at=ended - timedelta(seconds=seconds))


def over_time(tenant_id: UUID, start: datetime, end: datetime, width: str = "hour") -> dict[datetime, Calls]:
    with acting_for(tenant_id):
        return calls_over_time(start=start, end=end, width=width)


@pytest.fixture
def anew(_django_db_helper: None) -> Iterator[None]:
    """A test that commits has moved the mark: this one counts from the start."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM inference_callmark")
        yield
        cursor.execute("DELETE FROM inference_callmark")


def test_each_call_counts_once_before_and_after_it_is_rolled_up(acme, anew) -> None:
    tenant = acme.tenant.id
    for state in ("completed", "completed", "failed", "cancelled"):
        call(tenant, ended=THEN + timedelta(minutes=59), state=state)
    call(tenant, ended=THEN + HOUR)
    expected = {THEN: {"completed": 2, "failed": 1, "cancelled": 1}, THEN + HOUR: {"completed": 1}}
    for _ in range(3):
        found = over_time(tenant, THEN, THEN + 2 * HOUR)
        assert {start: dict(calls.by_state) for start, calls in found.items()} == expected
        roll_up()
    with acting_for(tenant), tenant_scope():
        assert sum(CallHour.objects.values_list("calls", flat=True)) == 5


def test_what_has_just_ended_waits_for_the_next_time_and_is_seen_all_the_same(acme, anew) -> None:
    tenant, now = acme.tenant.id, datetime.now(UTC)
    call(tenant, ended=now)
    roll_up()
    with acting_for(tenant), tenant_scope():
        assert not CallHour.objects.exists()
    [calls] = over_time(tenant, now - HOUR, now + HOUR).values()
    assert calls.total == 1


def test_days_are_the_sums_of_their_hours(acme, anew) -> None:
    for hours in (0, 3, 15):  # 8, 11 and 23 o'clock
        call(acme.tenant.id, ended=THEN + hours * HOUR)
    call(acme.tenant.id, ended=THEN + 16 * HOUR)
    roll_up()
    day = THEN.replace(hour=0)
    found = over_time(acme.tenant.id, day, day + 48 * HOUR, "day")
    assert {start: calls.total for start, calls in found.items()} == {day: 3, day + 24 * HOUR: 1}


def test_a_percentile_is_within_five_per_cent(acme, anew) -> None:
    chance = random.Random(7)
    took = sorted(chance.lognormvariate(0, 1.2) for _ in range(60))
    for seconds in took:
        call(acme.tenant.id, ended=THEN, seconds=seconds)
    roll_up()
    [calls] = over_time(acme.tenant.id, THEN, THEN + HOUR).values()
    assert calls.seconds_at(0.95) == pytest.approx(took[56], rel=0.05)  # the 57th of 60
    assert calls.seconds_at(0.5) == pytest.approx(took[29], rel=0.05)


def test_failures_and_lines_of_batches_have_no_duration(acme, anew) -> None:
    call(acme.tenant.id, ended=THEN, seconds=500, state="failed")
    call(acme.tenant.id, ended=THEN, seconds=500, inbox="")
    call(acme.tenant.id, ended=THEN, seconds=2)
    [calls] = over_time(acme.tenant.id, THEN, THEN + HOUR).values()
    assert calls.total == 3
    assert calls.seconds_at(0.95) == pytest.approx(2, rel=0.05)


def test_errors_are_counted_among_calls_that_nobody_cancelled() -> None:
    calls = Calls()
    for state, number in (("completed", 6), ("failed", 2), ("cancelled", 8)):
        calls.add(state, 0, number)
    assert calls.error_share == 0.25
    assert Calls().error_share is None and Calls().seconds_at(0.95) is None


@pytest.mark.parametrize("rolled", [True, False])
def test_a_tenant_sees_its_own_and_staff_see_all(committed: Callable, anew, rolled: bool) -> None:
    acme, globex = committed("acme").tenant.id, committed("globex").tenant.id
    call(acme, ended=THEN)
    call(globex, ended=THEN, state="failed")
    if rolled:
        roll_up()
    assert {calls.failed for calls in over_time(acme, THEN, THEN + HOUR).values()} == {0}
    with as_staff():
        found = calls_by_tenant(start=THEN, end=THEN + HOUR)
    assert {tenant: calls.failed for tenant, calls in found.items()} == {acme: 0, globex: 1}
