"""What arrives together goes together, in its order, and nobody fails for another."""

import asyncio
from collections.abc import Sequence

import pytest

from tenants.batching import Batcher


class Line:
    """Takes batches, the first of them for as long as it is told."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def run(self, batch: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(batch))
        await self.go.wait()
        return [ValueError(f"{one} is odd") if one % 2 else one * 10 for one in batch]


async def test_what_comes_while_a_batch_is_under_way_travels_in_the_next() -> None:
    line = Line()
    batcher = Batcher(line.run, most=3)
    asked = [asyncio.create_task(batcher(2))]
    await asyncio.sleep(0)
    asked += [asyncio.create_task(batcher(number)) for number in (4, 6, 8, 10)]
    await asyncio.sleep(0)
    line.go.set()
    assert await asyncio.gather(*asked) == [20, 40, 60, 80, 100]
    assert line.batches == [[2], [4, 6, 8], [10]]


async def test_each_gets_its_own_failure_and_a_batch_that_fails_fails_for_all_in_it() -> None:
    line = Line()
    line.go.set()
    batcher = Batcher(line.run, most=8)
    found = await asyncio.gather(batcher(2), batcher(3), return_exceptions=True)
    assert found[0] == 20 and str(found[1]) == "3 is odd"

    async def away(batch: Sequence[int]) -> list[int | Exception]:
        raise OSError("away")

    gone = Batcher(away, most=8)
    found = await asyncio.gather(gone(1), gone(2), return_exceptions=True)
    assert [str(error) for error in found] == ["away", "away"]


async def test_one_that_no_longer_waits_does_not_keep_the_others() -> None:
    line = Line()
    batcher = Batcher(line.run, most=8)
    left, stays = asyncio.create_task(batcher(2)), asyncio.create_task(batcher(4))
    await asyncio.sleep(0)
    left.cancel()
    line.go.set()
    assert await stays == 40
    with pytest.raises(asyncio.CancelledError):
        await left
    assert line.batches == [[2, 4]]
