"""What a process remembers, for how long, and when it should look again."""

from typing import Any

import pytest

from tenants import memory
from tenants.memory import Memory


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Clock:
        now = 1_000.0

        def monotonic(self) -> float:
            return self.now

    monkeypatch.setattr(memory, "time", clock := Clock())
    return clock


def test_a_value_is_due_before_it_is_forgotten(clock: Any) -> None:
    kept: Memory[str, int] = Memory(10)
    assert kept.get("a") is None and kept.due("a")
    kept.keep("a", 1, since=clock.now)
    clock.now += 5.9
    assert kept.get("a") == 1 and not kept.due("a")
    clock.now += 0.2
    assert kept.get("a") == 1 and kept.due("a")
    clock.now += 4
    assert kept.get("a") is None


def test_time_counts_from_the_beginning_of_the_look_up(clock: Any) -> None:
    kept: Memory[str, int] = Memory(10)
    kept.keep("a", 1, since=clock.now - 9)
    clock.now += 1.1
    assert kept.get("a") is None


def test_it_does_not_grow_without_bound(clock: Any) -> None:
    kept: Memory[int, int] = Memory(10, most=3)
    for number in range(10):
        kept.keep(number, number, since=clock.now)
        assert kept.get(number) == number and len(kept._kept) <= 3
