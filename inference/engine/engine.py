"""The worker's loop: hear a bell, claim what waits, run each call as a task, look after them until they end.

It runs in a thread of the Celery worker process, which starts and stops it. Leases are renewed every few seconds; a
call whose lease was lost is broken off like a cancelled one, for another attempt, or the sweeper, has taken over. When
it is told to stop it claims nothing new, lets its calls end for a while, and breaks off what is left, so that it is
settled and its client told.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import redis
import redis.asyncio
import structlog
import uvloop
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from redis.exceptions import RedisError

from tenants import work
from tenants.async_database import AsyncDatabase
from tenants.redis_line import RedisLine
from tenants.scope import acting_for

from .. import answering, bells, generations, lost_calls
from ..calls import Call
from ..generations import ANY_NUMBER
from ..providers.openai_http import close_session
from ..relay import CANCELLATIONS, broken_off
from ..threads import in_thread
from .desk import Desk
from .live_calls import LiveCall, LiveCalls

log = structlog.get_logger("atrium.worker")

_MOST_CLAIMED = 16
#: Fewer, so that a call that comes meanwhile waits for few of them to begin.
_MOST_LINES = 8
#: An idle worker looks for work so often though no bell rang.
_LOOK_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_LINES_SECONDS = 0.25
_SURE_SECONDS = 0.02
_RENEW = "SELECT * FROM renew_work(%s, %s, %s)"


class Engine:
    """One for each worker process."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to claim; returns when the loop runs."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Claim nothing more; returns when every call has ended, or was broken off and settled."""
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it ended in this very moment
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._calls = LiveCalls(settings.GENERATION_PLACES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._database = AsyncDatabase()
        self._redis = redis.asyncio.Redis.from_url(settings.REDIS_URL)
        self._bells = RedisLine(settings.REDIS_URL, timeout=_LOOK_SECONDS + 5)
        self._desk = Desk()
        self._held_back = False
        self._look_for_lines_at = 0.0
        self._started.set()
        await _or_pause(self._settle_lost, "settling lost calls")
        claiming = asyncio.create_task(self._claim_until_stopped())
        others = [asyncio.create_task(_for_ever(work, name)) for work, name in self._duties()]
        await self._stopping.wait()
        self._calls.wake()
        await claiming
        await self._drain()
        await _cancel(others)
        await self._desk.close()
        await self._database.close()
        await close_session()
        await self._bells.close()
        await self._redis.aclose()

    async def _settle_lost(self) -> None:
        """Before anything is claimed: if this worker dies as the last one did, somebody must have done it."""
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            await in_thread(_settled_and_told, client)

    def _duties(self) -> list[tuple[Callable[[], Awaitable[None]], str]]:
        return [(self._renew, "renewing leases"), (self._hear_cancellations, "hearing cancellations")]

    async def _drain(self) -> None:
        """Let calls end for a while; then break the rest off, and wait until they are settled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.GENERATION_DRAIN_SECONDS):
                await self._calls.all_end()
        self._calls.stop_all("shutdown")
        await self._calls.all_end()

    async def _claim_until_stopped(self) -> None:
        """A claim is never broken off: what it claimed would run nowhere."""
        while not self._stopping.is_set():
            await _or_pause(self._claim, "claiming")

    async def _claim(self) -> None:
        """Claim as many as there are places for; where nothing is left, wait for a bell."""
        if not self._calls.free:
            await self._calls.one_ends()
            return
        most = self._most_claimed()
        parameters = generations.claim_parameters(worker=self.worker, most=most, most_running=self._most_running())
        begun = await self._begin_all(parameters)
        if 0 < begun < most:
            # Most likely that was all. The next bell is mostly quicker than the look that makes sure.
            await bells.heard(self._bells, seconds=_SURE_SECONDS)
        elif not (begun or await self._claim_lines()):
            self._held_back = self._most_running() != ANY_NUMBER or self._places_for_lines() <= 0
            await self._wait_for_work()

    async def _claim_lines(self) -> int:
        """Lines of batches, where nothing is left that somebody waits for."""
        most = min(self._places_for_lines(), _MOST_LINES)
        if most <= 0 or time.monotonic() < self._look_for_lines_at:
            return 0
        parameters = generations.claim_parameters(worker=self.worker, most=most, queue=work.BATCH_LINES)
        begun = await self._begin_all(parameters)
        if not begun:
            # Calls that somebody waits for come often; each need not look for lines too.
            self._look_for_lines_at = time.monotonic() + _LINES_SECONDS
        return begun

    def _places_for_lines(self) -> int:
        """One half of the places is not for lines, so that a call that comes finds one."""
        return self._calls.free - settings.GENERATION_PLACES // 2

    async def _begin_all(self, parameters: list[Any]) -> int:
        rows = await self._database.rows(generations.CLAIM, parameters)
        for row in rows:
            self._begin(generations.claimed(row))
        return len(rows)

    async def _wait_for_work(self) -> None:
        """A bell; or, where some work may have been left for want of places, the end of a call, which rings one."""
        await bells.heard(self._bells, seconds=_LOOK_SECONDS)

    def _most_running(self) -> int:
        """The last quarter of the places is for tenants with few calls under way, however many another has queued."""
        return ANY_NUMBER if self._calls.free > _last_places() else max(1, settings.GENERATION_PLACES // 32)

    def _most_claimed(self) -> int:
        """As many as there are places for; a claim that may take any tenant's calls leaves the last quarter free."""
        free = self._calls.free
        return min(free - _last_places() if free > _last_places() else free, _MOST_CLAIMED)

    def _begin(self, call: Call) -> None:
        # Its place is taken now: the next claim comes before the task's first step.
        live = self._calls.enter(call.id, deadline_seconds=call.seconds)
        task = asyncio.create_task(self._execute(call, live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _execute(self, call: Call, live: LiveCall) -> None:
        try:
            with acting_for(call.tenant_id):
                await answering.execute(call, live, self._desk)
        except Exception:
            # Its lease runs out, and the sweep settles it.
            log.exception("generation could not be settled", generation_id=str(call.id))
        finally:
            self._calls.leave(call.id)
            if live.reason == "cancelled":
                with suppress(RedisError):  # who waits for it looks at the row, too
                    await self._redis.publish(broken_off(call.id), b"")
            if self._held_back:
                self._held_back = False
                with suppress(RedisError):  # then it looks by itself
                    await self._desk.ring()

    async def _renew(self) -> None:
        """Renew leases when a fifth of them is over: most calls end before."""
        await asyncio.sleep(min(1.0, settings.WORK_LEASE_SECONDS / 5))
        ids = self._calls.due(settings.WORK_LEASE_SECONDS / 5)
        if not ids:
            return
        lease = timedelta(seconds=settings.WORK_LEASE_SECONDS)
        kept = {row[0] for row in await self._database.rows(_RENEW, [self.worker, ids, lease])}
        for call_id in set(ids) - kept:
            self._calls.stop(call_id, "lease lost")

    async def _hear_cancellations(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(CANCELLATIONS)
            async for message in channel.listen():
                if message["type"] == "message" and len(message["data"]) == 16:
                    self._calls.stop(UUID(bytes=message["data"]), "cancelled")


def _settled_and_told(client: redis.Redis) -> None:
    try:
        lost_calls.settle_and_tell(client)
    finally:
        connections.close_all()


def _last_places() -> int:
    return settings.GENERATION_PLACES // 4


async def _for_ever(work: Callable[[], Awaitable[None]], name: str) -> None:
    while True:
        await _or_pause(work, name)


async def _or_pause(work: Callable[[], Awaitable[None]], name: str) -> None:
    """Do it; where Redis or PostgreSQL is away, wait a moment."""
    try:
        await work()
    except (RedisError, psycopg.Error, DatabaseError, OSError):
        log.warning("a service is away", during=name, exc_info=True)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _cancel(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
