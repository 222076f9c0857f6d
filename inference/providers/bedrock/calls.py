"""Calls that block a thread, asked for and broken off by a task of the event loop.

A cancelled task shuts the socket of its call down at once, so that the thread, wherever it waits, is free again; a
call that had not yet found a thread is never made. A stream is handed over in batches, and its thread stays only a
little ahead of the task that reads it: then TCP holds the server back.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Generic, TypeVar

from django.conf import settings

from ..line import Line, current_line

T = TypeVar("T")
#: How many events a thread may be ahead of the task that reads them.
_AHEAD = 64


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.BEDROCK_THREADS, thread_name_prefix="bedrock")


def _start(line: Line, function: Callable[[], T]) -> "Future[T]":
    def work() -> T:
        token = current_line.set(line)
        try:
            return function()
        finally:
            line.let_go()
            current_line.reset(token)

    return _threads().submit(work)


async def in_thread(function: Callable[[], T]) -> T:
    """What `function` returns or raises; cancelling breaks its connection off."""
    line = Line()
    future = _start(line, function)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        line.close()
        raise


class _Abandoned(Exception):
    """Nobody reads what the thread would hand over."""


class _Handover(Generic[T]):
    """Between one thread that puts and one task that takes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._change = threading.Condition()
        self._items: list[T] = []
        self._ended = False
        self._abandoned = False

    def put(self, item: T) -> None:
        """By the thread; waits for room.

        Raises:
            _Abandoned: the task has left.
        """
        with self._change:
            self._change.wait_for(lambda: self._abandoned or len(self._items) < _AHEAD)
            if self._abandoned:
                raise _Abandoned
            self._items.append(item)
        self._tell()

    def end(self, _: "Future[None]") -> None:
        """The thread is done."""
        with self._change:
            self._ended = True
        self._tell()

    def abandon(self) -> None:
        """By the task: nothing more is wanted."""
        with self._change:
            self._abandoned = True
            self._change.notify()

    async def take(self) -> tuple[list[T], bool]:
        """By the task: what has arrived, and whether that was all."""
        await self._news.wait()
        self._news.clear()
        with self._change:
            items, self._items = self._items, []
            self._change.notify()
            return items, self._ended

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it the task
            self._loop.call_soon_threadsafe(self._news.set)


async def stream_in_thread(produce: Callable[[], Iterator[T]]) -> AsyncGenerator[list[T], None]:
    """What `produce` yields in a thread, with what arrived together in one list; raises what it raised.

    Leave it by `contextlib.aclosing`, so that its thread is freed at once whatever happens.
    """
    line, handover = Line(), _Handover[T]()

    def work() -> None:
        for item in produce():
            handover.put(item)

    future = _start(line, work)
    future.add_done_callback(handover.end)
    try:
        ended = False
        while not ended:
            items, ended = await handover.take()
            if items:
                yield items
        future.result()
    finally:
        handover.abandon()
        if not future.done():
            future.cancel()
            line.close()
