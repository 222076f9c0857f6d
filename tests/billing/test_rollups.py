"""The ledger's sums: exact whoever commits when, whoever rolls up at the same time, corrections included."""

import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, connections

from billing.models import ModelDay, RollUpMark, UsageDay, UsageHour, UsageRecord, UserDay
from billing.rollups import mark, rebuild, roll_up
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope

DAY = datetime(2026, 3, 10, tzinfo=UTC)
KEY = uuid7()


def write(tenant_id: UUID, at: datetime = DAY, **changes: object) -> UsageRecord:
    """A ledger line of 10 input tokens for 0.1."""
    line = {
        "reservation_id": uuid7(), "request_id": uuid7(), "attempt": 1, "operation": "completions", "model": "gpt",
        "meter": "input_tokens", "quantity": 10, "unit_price": Decimal("0.01"), "per": 1, "cost": Decimal("0.1"),
        "currency": "USD", "key_id": KEY, "end_user": "ann", "occurred_at": at, "leads": True,
        "period_start": at.date().replace(day=1),
    }  # fmt: skip
    with acting_for(tenant_id), tenant_scope():
        return UsageRecord.objects.create(tenant_id=tenant_id, **(line | changes))


def rolled_up() -> None:
    """Roll up until every transaction that had ended by now is in the sums; others' in the same server may delay it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        reached, deadline = cursor.fetchone()[0], time.monotonic() + 60
    while mark() < reached:
        roll_up()
        assert time.monotonic() < deadline


def sums(model: type, tenant_id: UUID, *names: str) -> list[tuple]:
    with acting_for(tenant_id), tenant_scope():
        return list(model.objects.order_by("start", "quantity").values_list("start", *names))


def test_lines_are_added_up_by_hour_and_day_once(committed) -> None:
    acme, globex = committed("acme").tenant.id, committed("globex").tenant.id
    first = write(acme, provider_cost=Decimal("0.04"), tags={"team": "a"})
    write(acme, DAY + timedelta(minutes=59, seconds=59), tags={"team": "a"}, end_user="bob", leads=False)
    write(acme, DAY + timedelta(hours=23), tags={"team": "b"}, list_cost=Decimal("0.2"))
    write(globex, quantity=2**62)
    write(globex, quantity=2**62)  # together more than a bigint: nonsense of an upstream, which must not stop the rest
    rolled_up()
    figures = ("tags", "quantity", "calls", "lines", "cost", "provider_cost", "unmatched_cost", "unlisted_cost")
    of_team_a = ({"team": "a"}, 20, 1, 2, Decimal("0.2"), Decimal("0.04"), Decimal("0.1"), Decimal("0.2"))
    of_team_b = ({"team": "b"}, 10, 1, 1, Decimal("0.1"), 0, Decimal("0.1"), 0)
    assert sums(UsageHour, acme, *figures) == [(DAY, *of_team_a), (DAY + timedelta(hours=23), *of_team_b)]
    assert sorted(sums(UsageDay, acme, *figures), key=str) == [(DAY, *of_team_a), (DAY, *of_team_b)]
    assert sums(UserDay, acme, "end_user", "quantity").count((DAY, "ann", 10)) == 2  # two teams
    of_the_day = (DAY, 30, 2, 3, Decimal("0.3"), Decimal("0.04"), Decimal("0.2"), Decimal("0.2"))
    assert sums(ModelDay, acme, *figures[1:]) == [of_the_day]
    assert sums(UsageDay, globex, "quantity") == [(DAY, 2**63)]
    # A correction is a line of its own sums; what was rolled up is not rolled up again.
    write(
        acme,
        corrects=first.id,
        reason="counted twice",
        quantity=-3,
        cost=Decimal("-0.03"),
        tags={"team": "a"},
        leads=False,
    )
    rolled_up()
    rolled_up()
    kept = sums(UsageHour, acme, "corrects", "quantity", "cost", "calls")
    assert kept[0] == (DAY, True, -3, Decimal("-0.03"), 0)
    assert sum(row[2] for row in kept) == 27
    # Made anew, they are the same.
    before = {
        model: sorted(sums(model, acme, *figures[1:], "id"), key=str)
        for model in (UsageHour, UsageDay, ModelDay, UserDay)
    }
    connections.close_all()
    rebuild()
    rolled_up()
    assert {model: sorted(sums(model, acme, *figures[1:], "id"), key=str) for model in before} == before


def test_who_commits_late_is_not_missed_and_not_doubled(committed) -> None:
    """One transaction writes first and commits last; others come between, and roll-ups at every step."""
    acme = committed("acme").tenant.id
    written, commit = threading.Event(), threading.Event()

    def late() -> None:
        try:
            with acting_for(acme), tenant_scope():
                write(acme, quantity=1)
                written.set()
                commit.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=late)
    thread.start()
    assert written.wait(30)
    write(acme, quantity=100)
    roll_up()
    # The line that is there is above the mark as long as the older transaction runs.
    assert sums(UsageHour, acme, "quantity") == []
    commit.set()
    thread.join()
    rolled_up()
    assert sums(UsageHour, acme, "quantity") == [(DAY, 101)]


def test_roll_ups_at_once_and_lines_meanwhile_add_up(committed) -> None:
    acme = committed("acme").tenant.id
    written: list[int] = []

    def run(number: int) -> None:
        try:
            for step in range(5):
                write(acme, DAY + timedelta(hours=step), quantity=number * 10 + step + 1, model=f"m{number % 2}")
                written.append(number * 10 + step + 1)
                roll_up()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rolled_up()
    for model in (UsageHour, UsageDay, ModelDay, UserDay):
        assert sum(quantity for _, quantity in sums(model, acme, "quantity")) == sum(written)


def test_sums_of_another_server_are_not_believed(committed) -> None:
    acme = committed("acme").tenant.id
    write(acme)
    RollUpMark.objects.using("owner").update_or_create(defaults={"up_to": 2**60, "rolled_at": DAY})
    assert mark() == 0
    with pytest.raises(DatabaseError, match="rebuild_rollups"):
        roll_up()
    connections.close_all()
    rebuild()
    rolled_up()
    assert sums(UsageHour, acme, "quantity") == [(DAY, 10)]
