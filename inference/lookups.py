"""Look-ups of the hot path: in threads, one at a time for each key, however many requests wait for it."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class Lookups:
    """One for each web process, on its loop."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._running: dict[Hashable, asyncio.Future[Any]] = {}

    async def find(self, key: Hashable, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` finds; joins a look-up of the same key that is under way."""
        return await asyncio.shield(self._start(key, function, *arguments))

    def renew(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        """Look up without waiting. A failure is the next request's to see, which finds nothing remembered."""
        self._start(key, function, *arguments).add_done_callback(_seen)

    def _start(self, key: Hashable, function: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        found = self._running.get(key)
        if found is None:
            found = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
            self._running[key] = found
            found.add_done_callback(partial(self._end, key))
        return found

    def _end(self, key: Hashable, future: "asyncio.Future[Any]") -> None:
        self._running.pop(key, None)


def _seen(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
