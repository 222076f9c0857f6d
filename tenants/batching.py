"""What arrives together goes together: items that come while a batch is under way travel in the next one.

A lone item leaves at once, so nobody waits for company; under load a batch grows to what one round trip takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Hands items to `run` in batches of at most `most`, one batch at a time.

    Args:
        run: items → a result or an exception for each, in their order. Where it raises, all of them failed so.
    """

    def __init__(self, run: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], *, most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """What became of `item`; raises what it came to."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._send(batch)
        finally:
            self._task = None

    async def _send(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._run([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  each of those who wait is told
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.cancelled():
                continue  # whoever waited has gone; what was asked for is done all the same
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
