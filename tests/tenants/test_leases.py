"""A lease is renewed while the work lasts, and its loss is noticed."""

import time

import pytest

from tenants import leases
from tenants.ids import uuid7
from tenants.leases import LeaseLost, keeping
from tenants.work import Claim

CLAIM = Claim(uuid7(), uuid7(), 1)


@pytest.fixture(autouse=True)
def _short_leases(settings):
    settings.WORK_LEASE_SECONDS = 0.03


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_it_is_renewed_until_the_block_ends(monkeypatch):
    renewed = []
    monkeypatch.setattr(leases, "renew", lambda worker, ids, lease: renewed.append((worker, *ids)) or set(ids))
    with keeping(CLAIM, worker="w") as lease:
        wait_for(lambda: len(renewed) >= 3)
        lease.check()
    count = len(renewed)
    time.sleep(0.05)
    assert set(renewed) == {("w", CLAIM.id)} and len(renewed) == count


def test_a_lost_lease_stops_the_work_at_the_next_step(monkeypatch):
    monkeypatch.setattr(leases, "renew", lambda worker, ids, lease: set())
    with keeping(CLAIM, worker="w") as lease:
        wait_for(lease.lost.is_set)
        with pytest.raises(LeaseLost):
            lease.check()


def test_a_database_that_is_away_for_a_moment_does_not_stop_it(monkeypatch):
    turns = []

    def renew(worker, ids, lease):
        turns.append(1)
        if len(turns) == 1:
            raise leases.OperationalError
        return set(ids)

    monkeypatch.setattr(leases, "renew", renew)
    with keeping(CLAIM, worker="w") as lease:
        wait_for(lambda: len(turns) >= 3)
        lease.check()
