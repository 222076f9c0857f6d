"""Calls under way: broken off with a reason, at their deadline, before they begin; renewed when it is time."""

import asyncio

import pytest

from inference.engine.live_calls import LiveCall, LiveCalls
from inference.providers.base import Cancelled
from tenants.ids import uuid7


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_call_that_is_stopped_says_why_and_only_the_first_reason_counts() -> None:
    live = LiveCall()
    asyncio.get_running_loop().call_soon(live.stop, "cancelled")
    asyncio.get_running_loop().call_soon(live.stop, "deadline")
    with pytest.raises(Cancelled):
        await live.run(for_ever())
    assert live.reason == "cancelled"


async def test_a_call_that_was_stopped_before_it_began_does_not_run() -> None:
    live, ran = LiveCall(), []

    async def work() -> None:
        ran.append(1)

    live.stop("lease lost")
    with pytest.raises(Cancelled):
        await live.run(work())
    assert ran == []


async def test_what_cancels_the_worker_itself_is_no_stopped_call() -> None:
    task = asyncio.create_task(LiveCall().run(for_ever()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_ends_at_its_deadline() -> None:
    calls = LiveCalls(places=2)
    live = calls.enter(uuid7(), deadline_seconds=0.01)
    with pytest.raises(Cancelled):
        await live.run(for_ever())
    assert live.reason == "deadline"


async def test_places_are_free_again_and_whoever_waits_for_one_hears_it() -> None:
    calls, ident = LiveCalls(places=1), uuid7()
    calls.enter(ident, deadline_seconds=60)
    assert calls.free == 0
    waiting = asyncio.create_task(calls.one_ends())
    await asyncio.sleep(0)
    calls.leave(ident)
    await asyncio.wait_for(waiting, 5)
    assert calls.free == 1
    await asyncio.wait_for(calls.all_end(), 5)


async def test_a_lease_is_due_when_it_is_old_enough_and_then_not_at_once_again() -> None:
    calls, old, young = LiveCalls(places=2), uuid7(), uuid7()
    calls.enter(old, deadline_seconds=60).renewed -= 5
    calls.enter(young, deadline_seconds=60)
    assert calls.due(3) == [old]
    assert calls.due(3) == []
