"""The calls that this worker runs, each breakable off from outside, with the reason."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from ..providers.base import Cancelled

T = TypeVar("T")


class LiveCall:
    """A call under way. `reason` says why it should stop: `cancelled`, `deadline`, `lease lost` or `shutdown`."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.renewed = time.monotonic()
        self.deadline: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[Any] | None = None

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the part of the call that can be broken off.

        Raises:
            Cancelled: it was.
        """
        self._work = asyncio.ensure_future(work)
        if self.reason is not None:
            self._work.cancel()
        try:
            return await self._work
        except asyncio.CancelledError:
            if self.reason is None:
                raise
            raise Cancelled from None
        finally:
            self._work = None

    def stop(self, reason: str) -> None:
        """Break the call off. Only the first reason counts."""
        if self.reason is None:
            self.reason = reason
            if self._work is not None:
                self._work.cancel()


class LiveCalls:
    """All of them, by id."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._calls: dict[UUID, LiveCall] = {}
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """How many more may be begun."""
        return self._places - len(self._calls)

    def due(self, seconds: float) -> list[UUID]:
        """Those whose lease was taken or renewed more than `seconds` ago; they count as renewed from now on."""
        now = time.monotonic()
        due = [call_id for call_id, live in self._calls.items() if now - live.renewed > seconds]
        for call_id in due:
            self._calls[call_id].renewed = now
        return due

    def enter(self, call_id: UUID, *, deadline_seconds: float) -> LiveCall:
        """A call begins; it is broken off after `deadline_seconds`."""
        live = self._calls[call_id] = LiveCall()
        live.deadline = asyncio.get_running_loop().call_later(deadline_seconds, live.stop, "deadline")
        return live

    def leave(self, call_id: UUID) -> None:
        """It has ended."""
        live = self._calls.pop(call_id, None)
        if live is not None and live.deadline is not None:
            live.deadline.cancel()  # or it would be kept until then
        self._freed.set()

    def stop(self, call_id: UUID, reason: str) -> None:
        """Break one off, if it is here."""
        if (live := self._calls.get(call_id)) is not None:
            live.stop(reason)

    def stop_all(self, reason: str) -> None:
        """Break all off."""
        for live in list(self._calls.values()):
            live.stop(reason)

    async def one_ends(self) -> None:
        """Return when a call has ended since this was called."""
        self._freed.clear()
        await self._freed.wait()

    def wake(self) -> None:
        """Let whoever waits for a call to end look around."""
        self._freed.set()

    async def all_end(self) -> None:
        """Return when none is left."""
        while self._calls:
            await self.one_ends()
