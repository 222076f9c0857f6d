"""The workers' common knowledge over a real Redis: breakers open and close for all, places are shared and leased."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from inference.routing import scripts
from inference.routing.board import Board, connect
from inference.routing.health import calls_under_way
from tenants.ids import uuid7

from .conftest import deployment, let_time_pass

Workers = Callable[[], Board]


@pytest.fixture
def ident() -> str:
    return str(uuid7())


async def test_five_failures_open_the_breaker_for_every_worker_and_one_probe_closes_it(
    workers: Workers, ident: str
) -> None:
    here, there = workers(), workers()
    for _ in range(4):
        await here.failed(ident)
    assert not here.is_open(ident)
    await there.failed(ident)  # the fifth, of both together
    await here._read()
    assert here.is_open(ident) and there.is_open(ident)
    assert 4 < here.wait_for(ident) <= 5

    await let_time_pass(here, ident)
    await here._read()
    await there._read()
    assert here.half_open(ident) and there.half_open(ident)
    # One of them, and it alone, may try.
    assert [await here.may_probe(ident), await there.may_probe(ident), await here.may_probe(ident)] == [
        True,
        False,
        False,
    ]
    here.succeeded(ident)
    await here.settle_down()
    await there._read()
    assert not there.half_open(ident) and there.wait_for(ident) == 0
    # It counts from nothing again.
    await there.failed(ident)
    assert not there.is_open(ident)


async def test_a_probe_that_fails_opens_it_for_twice_as_long(workers: Workers, ident: str) -> None:
    board = workers()
    for _ in range(5):
        await board.failed(ident)
    for seconds in (10, 20, 40):
        await let_time_pass(board, ident)
        await board._read()
        assert await board.may_probe(ident)
        await board.failed(ident)
        assert seconds - 1 < board.wait_for(ident) <= seconds


async def test_few_failures_among_many_answers_open_nothing(workers: Workers, ident: str) -> None:
    board = workers()
    for _ in range(10):
        board.succeeded(ident)
    for _ in range(9):
        await board.failed(ident)
    assert not board.is_open(ident)  # 9 of 19
    await board.failed(ident)
    assert board.is_open(ident)  # 10 of 20


async def test_who_asks_to_be_left_alone_is_by_every_worker(workers: Workers, ident: str) -> None:
    here, there = workers(), workers()
    await here.rests(ident, 30)
    await there.rests(ident, 3)  # does not shorten it
    for board in (here, there):
        await board._read()
        assert 28 < board.wait_for(ident) <= 30
        assert not board.is_open(ident) and not board.half_open(ident)
    await let_time_pass(here, ident)
    await here._read()
    assert here.wait_for(ident) <= 0


async def test_without_redis_every_deployment_counts_as_closed_and_every_place_as_free(ident: str) -> None:
    board = Board(connect("redis://127.0.0.1:1/0"))
    await board.look()
    for _ in range(20):
        await board.failed(ident)
    assert board.wait_for(ident) == 0 and not board.is_open(ident)
    assert await board.take([deployment("a", max_concurrent=1)], least_busy=True) == (0, None)
    board.succeeded(ident)
    board.measured(ident, "whole", 5.0)
    await board.settle_down()


async def test_a_healthy_deployment_costs_no_round_trip_a_call(
    workers: Workers, ident: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = workers()
    await board.look()
    asked: list[Any] = []

    async def asking(*arguments: Any, **options: Any) -> None:
        asked.append(arguments)

    monkeypatch.setattr(board._redis, "execute_command", asking)
    for _ in range(100):
        await board.look()
        assert board.wait_for(ident) == 0 and not board.half_open(ident)
        board.succeeded(ident)
    assert asked == []


async def test_workers_share_places_so_that_the_least_busy_is_the_least_busy_of_all(workers: Workers) -> None:
    here, there = workers(), workers()
    rows = [deployment("a", weight=1), deployment("b", weight=3)]
    taken = Counter()
    places = []
    for number in range(12):
        index, place = await (here, there)[number % 2].take(rows, least_busy=True)
        taken[rows[index].name] += 1
        places.append(place)
    assert taken == {"a": 3, "b": 9}  # as their weights
    for place in places[:6]:
        here.leave(place)
    await here.settle_down()
    assert sum([await here._redis.zcard(scripts.places(str(row.pk))) for row in rows]) == 6


async def test_a_limit_of_calls_holds_over_all_workers(workers: Workers) -> None:
    here, there = workers(), workers()
    rows = [deployment("small", max_concurrent=2), deployment("large", max_concurrent=1)]
    indexes = [(await board.take(rows, least_busy=False)) for board in (here, there, here)]
    assert [index for index, _ in indexes] == [0, 0, 1]
    assert await there.take(rows, least_busy=False) is None


async def test_places_of_a_dead_worker_are_free_when_their_lease_ends(workers: Workers) -> None:
    alive, dead = workers(), workers()
    row = deployment("a", max_concurrent=1)
    _, place = await dead.take([row], least_busy=False)
    assert await alive.take([row], least_busy=False) is None
    ends_ms = await alive._redis.zscore(scripts.places(str(row.pk)), place.call)
    seconds, _ = await alive._redis.time()
    assert 13 < ends_ms / 1000 - seconds <= 16
    # As if the lease had run out; a living worker would have renewed it.
    await alive._redis.zadd(scripts.places(str(row.pk)), {place.call: 1})
    assert await alive.take([row], least_busy=False) is not None
    await dead._renew()
    assert await alive._redis.zscore(scripts.places(str(row.pk)), place.call) > ends_ms - 1


async def test_speeds_are_averages_that_all_workers_learn(workers: Workers, ident: str) -> None:
    here, there = workers(), workers()
    for milliseconds in (100, 300):
        here.measured(ident, "first", milliseconds)
    await here.settle_down()
    there.measured(ident, "first", 500)
    await there.settle_down()
    await there._read()
    # 100, 300 and 500 within a moment: their mean.
    assert there.speed(ident, "first") == pytest.approx(300, abs=5)
    assert there.speed(ident, "whole") is None
    # What was measured long ago says nothing any more.
    seconds, _ = await here._redis.time()
    await here._redis.hset(scripts.SPEEDS, f"{ident}:first", f"300.0:3.000:{(seconds - 600) * 1000}")
    await here._read()
    assert here.speed(ident, "first") is None


async def test_calls_under_way_are_counted_over_all_workers_until_they_end(workers: Workers, ident: str) -> None:
    here, there = workers(), workers()
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    for board, calls in ((here, 2), (there, 3)):
        for _ in range(calls):
            board.underway.entered(ident)
        await board.underway.flush()
    assert calls_under_way(client) == {ident: 5}
    here.underway.left(ident)
    for _ in range(3):
        there.underway.left(ident)
    await here.underway.flush()
    await there.underway.flush()
    assert calls_under_way(client) == {ident: 1}
    # A process that died tells nothing any more.
    [(name, told)] = client.hgetall(scripts.UNDERWAY).items()
    calls, at = told.decode().split(":")
    client.hset(scripts.UNDERWAY, name, f"{calls}:{int(at) - 6_000}")
    assert calls_under_way(client) == {}
    client.close()
