"""The calls that this worker process runs: their leases are renewed, their cancellations heard, their deadlines kept.

One thread renews every few seconds; one listens for cancellations. A call whose lease was lost is broken off like a
cancelled one: another attempt, or the sweeper, has taken over.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID, uuid4

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError
from redis.exceptions import RedisError

from tenants import work

from .providers.base import Connection
from .relay import CANCELLATIONS

log = structlog.get_logger("atrium.worker")


class RunningCall:
    """A call under way in this process."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.reason: str | None = None
        self._connections: list[Connection] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def requested(self) -> bool:
        """Whether the call should stop."""
        return self.reason is not None

    def watch(self, connection: Connection) -> None:
        """Break `connection` off when the call is stopped, at once if it was."""
        with self._lock:
            self._connections.append(connection)
            stopped = self.requested
        if stopped:
            connection.close()

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the call's stop."""
        self._stopped.wait(seconds)

    def stop(self, reason: str) -> None:
        """Stop the call: `cancelled`, `deadline` or `lease lost`. Only the first reason counts."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            connections = list(self._connections)
        self._stopped.set()
        for connection in connections:
            with suppress(OSError, ValueError, RuntimeError):
                # The response may have ended in this very moment; then there is nothing to break off.
                connection.close()


class RunningCalls:
    """All calls of this process, and the two threads that look after them."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._calls: dict[UUID, RunningCall] = {}
        self._lock = threading.Lock()
        self._started = False

    @contextmanager
    def enter(self, call_id: UUID) -> Iterator[RunningCall]:
        """Look after a call while it runs."""
        call = RunningCall(time.monotonic() + settings.GENERATION_DEADLINE_SECONDS)
        with self._lock:
            self._calls[call_id] = call
            if not self._started:
                self._started = True
                for target in (self._renew_forever, self._hear_forever):
                    threading.Thread(target=target, daemon=True, name=target.__name__).start()
        try:
            yield call
        finally:
            with self._lock:
                self._calls.pop(call_id, None)

    def _renew_forever(self) -> None:
        lease = timedelta(seconds=settings.WORK_LEASE_SECONDS)
        pause = threading.Event()
        while not pause.wait(min(1.0, settings.WORK_LEASE_SECONDS / 5)):
            with self._lock:
                calls = dict(self._calls)
            now = time.monotonic()
            for call in calls.values():
                if now > call.deadline:
                    call.stop("deadline")
            if not calls:
                continue
            try:
                kept = work.renew(self.worker, list(calls), lease=lease)
            except DatabaseError:
                log.warning("leases could not be renewed", exc_info=True)
                continue
            with self._lock:
                still = self._calls.keys() & calls.keys()
            for call_id in still - kept:
                calls[call_id].stop("lease lost")

    def _hear_forever(self) -> None:
        pause = threading.Event()
        while True:
            try:
                with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as channel:
                    channel.subscribe(CANCELLATIONS)
                    for message in channel.listen():
                        if message["type"] == "message" and len(message["data"]) == 16:
                            self._cancel(UUID(bytes=message["data"]))
            except RedisError:
                log.warning("cancellations cannot be heard", exc_info=True)
                pause.wait(0.5)

    def _cancel(self, call_id: UUID) -> None:
        with self._lock:
            call = self._calls.get(call_id)
        if call is not None:
            call.stop("cancelled")


running = RunningCalls()
