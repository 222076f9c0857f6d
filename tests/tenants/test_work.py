"""The queue of claimed work is fair between tenants, fenced, and loses nothing."""

from datetime import timedelta

import psycopg
import pytest
from django.db import connections
from django.db.models.functions import Now

from tenants import work
from tenants.ids import uuid7
from tenants.models import Lane, Work
from tenants.scope import acting_for, tenant_scope

QUEUE = "test"
LEASE = timedelta(seconds=30)


def put(member, count=1, weight=1, priority=0, head_start=0):
    ids = [uuid7() for _ in range(count)]
    with acting_for(member.tenant.id), tenant_scope():
        for unit in ids:
            work.enqueue(member.tenant.id, unit, QUEUE, share=work.Share(weight, head_start), priority=priority)
    return ids


def take(count=1, worker="w"):
    return [work.claim(QUEUE, worker=worker, lease=LEASE) for _ in range(count)]


def take_at_once(limit, most_running=None):
    return work.claim_many(QUEUE, worker="w", lease=LEASE, limit=limit, most_running=most_running)


def owners(claims):
    return [claim.tenant_id for claim in claims]


def in_scope(member):
    return acting_for(member.tenant.id)


def test_nothing_waiting_is_no_claim(acme):
    assert take() == [None]


def test_the_oldest_of_a_tenant_comes_first(acme):
    ids = put(acme, 3)
    assert [claim.id for claim in take(3)] == ids


def test_the_tenant_with_the_fewest_running_comes_first(acme, globex):
    put(acme, 10)
    assert owners(take(3)) == [acme.tenant.id] * 3
    put(globex, 2)
    assert owners(take(3)) == [globex.tenant.id, globex.tenant.id, acme.tenant.id]


def test_weight_buys_a_larger_share(acme, globex):
    put(acme, 10, weight=1)
    put(globex, 10, weight=4)
    shares = owners(take(10))
    assert (shares.count(acme.tenant.id), shares.count(globex.tenant.id)) == (2, 8)


def test_a_head_start_goes_first_and_nobody_waits_longer_than_that_for_it(acme, globex):
    put(globex, 6)
    put(acme, 6, head_start=30)

    def turn():
        [claim] = take()
        with acting_for(claim.tenant_id), tenant_scope():
            assert work.finish(claim)
        return claim.tenant_id

    assert [turn() for _ in range(3)] == [acme.tenant.id] * 3
    with in_scope(globex), tenant_scope():
        Lane.objects.update(served_at=Now() - timedelta(seconds=31))
    # It has waited half a minute longer by now.
    assert [turn(), turn()] == [globex.tenant.id, acme.tenant.id]
    put(acme, 1)  # a plan without a head start
    with in_scope(acme), tenant_scope():
        assert Lane.objects.get().head_start == 0


def test_equals_take_turns(acme, globex):
    put(acme, 4)
    put(globex, 4)
    turns = []
    for _ in range(4):
        [claim] = take()
        turns.append(claim.tenant_id)
        with acting_for(claim.tenant_id), tenant_scope():
            assert work.finish(claim)
    assert turns[:2] == turns[2:] and turns[0] != turns[1]


def test_many_are_claimed_at_once_as_one_after_the_other(acme, globex):
    mine = put(acme, 8, weight=1)
    theirs = put(globex, 8, weight=3)
    first = take_at_once(4)
    assert [claim.id for claim in first if claim.tenant_id == acme.tenant.id] == mine[:1]
    assert [claim.id for claim in first if claim.tenant_id == globex.tenant.id] == theirs[:3]
    assert {claim.attempt for claim in first} == {1}
    shares = owners(take_at_once(4))
    assert (shares.count(acme.tenant.id), shares.count(globex.tenant.id)) == (1, 3)
    with in_scope(acme), tenant_scope():
        assert Lane.objects.get().running == 2
    assert len(take_at_once(100)) == 8 and take_at_once(100) == []


def test_the_last_places_go_to_those_who_hold_few(acme, globex):
    put(acme, 10, weight=2)
    assert len(take_at_once(3)) == 3
    put(globex, 3)
    assert owners(take_at_once(10, most_running=2)) == [globex.tenant.id, globex.tenant.id, acme.tenant.id]
    assert take_at_once(10, most_running=2) == []
    assert len(take_at_once(10)) == 7


def test_a_lower_priority_of_a_tenant_goes_first(acme):
    later = put(acme, 2, priority=1)
    sooner = put(acme, 2)
    assert [claim.id for claim in take_at_once(3)] == [*sooner, later[0]]


def test_a_finished_unit_is_gone_and_its_lane_free(acme):
    put(acme)
    [claim] = take()
    with in_scope(acme), tenant_scope():
        assert work.finish(claim)
        assert not work.finish(claim)
        assert not Work.objects.exists() and Lane.objects.get().running == 0


def test_a_later_attempt_makes_the_earlier_void(acme):
    put(acme)
    [first] = take()
    with in_scope(acme), tenant_scope():
        assert work.retry(first, delay=timedelta(), reason="again")
    [second] = take()
    assert (second.id, second.attempt) == (first.id, first.attempt + 1)
    with in_scope(acme), tenant_scope():
        assert (
            not work.finish(first)
            and not work.retry(first, delay=timedelta(), reason="")
            and not work.bury(first, reason="")
        )
        assert work.finish(second)


def test_a_delayed_unit_waits_for_its_time(acme):
    put(acme)
    [claim] = take()
    with in_scope(acme), tenant_scope():
        assert work.retry(claim, delay=timedelta(hours=1), reason="away")
    assert take() == [None]
    assert work.tend(QUEUE).queued == 1 and take() == [None]
    with in_scope(acme), tenant_scope():
        Work.objects.update(available_at="2020-01-01T00:00:00Z")
    work.tend(QUEUE)
    assert take()[0].id == claim.id


def test_a_buried_unit_is_claimed_no_more(acme):
    put(acme)
    [claim] = take()
    with in_scope(acme), tenant_scope():
        assert work.bury(claim, reason="poison")
        assert Work.objects.get().reason == "poison"
    assert take() == [None]
    depth = work.depth(QUEUE)
    assert (depth.queued, depth.running, depth.dead) == (0, 0, 1)


def test_a_lease_runs_out_unless_it_is_renewed(acme):
    ids = put(acme, 2)
    take(2, worker="mine")
    with in_scope(acme), tenant_scope():
        Work.objects.update(lease_until="2020-01-01T00:00:00Z")
    assert work.renew("another", ids, lease=LEASE) == set()
    assert work.renew("mine", ids[:1], lease=LEASE) == {ids[0]}
    assert [claim.id for claim in work.expired(QUEUE)] == [ids[1]]


def test_tending_sets_a_drifted_counter_right(acme):
    put(acme, 2)
    take(2)
    with in_scope(acme), tenant_scope():
        Work.objects.filter(id=Work.objects.order_by("id").first().id).delete()
        assert Lane.objects.get().running == 2
    assert work.tend(QUEUE).running == 1
    with in_scope(acme), tenant_scope():
        assert Lane.objects.get().running == 1


def test_two_workers_at_once_take_different_units_without_waiting(committed):
    """The second skips what the first's open transaction has locked: the other tenant's unit is free."""
    first, second = committed("acme"), committed("globex")
    put(first)
    put(second)
    settings = connections["default"].settings_dict
    with psycopg.connect(dbname=settings["NAME"], host=settings["HOST"], user=settings["USER"]) as other:
        held = other.execute("SELECT tenant_id FROM claim_work(%s, 'other', '30 s')", [QUEUE]).fetchall()
        [claim] = take()
        assert {held[0][0], claim.tenant_id} == {first.tenant.id, second.tenant.id}


def test_neither_work_put_on_the_queue_nor_a_claim_of_many_waits_for_a_lane(committed):
    first, second = committed("acme"), committed("globex")
    put(first)
    put(second)
    settings = connections["default"].settings_dict
    with psycopg.connect(dbname=settings["NAME"], host=settings["HOST"], user=settings["USER"]) as other:
        other.execute("SELECT set_config('app.tenant_id', %s, true)", [str(first.tenant.id)])
        other.execute("SELECT 1 FROM tenants_lane WHERE queue = %s FOR UPDATE", [QUEUE])
        with in_scope(first), tenant_scope(), connections["default"].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            work.enqueue(first.tenant.id, uuid7(), QUEUE)
        assert owners(take_at_once(8)) == [second.tenant.id]
    assert owners(take_at_once(8)) == [first.tenant.id] * 2


@pytest.mark.parametrize("queue", ["generation", "ingestion"])
def test_queues_do_not_mix(acme, queue):
    put(acme)
    assert work.claim(queue, worker="w", lease=LEASE) is None
