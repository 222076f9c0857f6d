"""Workers say that they live: every few seconds, for each queue they consume, in Redis.

A worker beats from the moment it consumes until it is told to stop; one that was killed is no longer counted after
`_LIFE_SECONDS`. The deadline is by Redis's clock, so machines need not agree on the time. A beat that Redis cannot take
is skipped: while Redis is away there is nothing to consume either.
"""

import threading
from dataclasses import dataclass
from typing import Any

import psutil
import redis
import structlog
from celery import signals
from django.conf import settings
from redis.exceptions import RedisError

log = structlog.get_logger("atrium.worker")

_BEAT_SECONDS = 3.0
_LIFE_SECONDS = 12.0


@dataclass(frozen=True)
class LiveWorker:
    """A worker that beat within the last seconds."""

    queue: str
    name: str
    resident_bytes: int


class Heartbeat:
    """This worker process's beat: a thread from `start` to `stop`."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str, queues: list[str]) -> None:
        """Beat for `queues`; once a process, however often its consumer reconnects."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, args=(name, queues), daemon=True, name="heartbeat")
            self._thread.start()

    def stop(self) -> None:
        """Beat no more, and be counted no more."""
        self._stopped.set()

    def _beat(self, name: str, queues: list[str]) -> None:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=_BEAT_SECONDS) as client:
            while True:
                try:
                    if self._stopped.is_set():
                        forget(client, name, queues)
                        return
                    beat(client, name, queues)
                except RedisError:
                    log.warning("heartbeat was not heard", exc_info=True)
                    if self._stopped.is_set():
                        return
                self._stopped.wait(_BEAT_SECONDS)


def _key(queue: str) -> str:
    return f"workers:{queue}"


def beat(client: redis.Redis, name: str, queues: list[str]) -> None:
    """Write one beat, and clear away workers that have not beaten for long."""
    now = _now(client)
    value = f"{now + _LIFE_SECONDS} {psutil.Process().memory_info().rss}"
    for queue in queues:
        client.hset(_key(queue), name, value)
        dead = [other for other, (deadline, _) in _beats(client, queue).items() if deadline < now]
        if dead:
            # One of them that beats in this very moment is back with its next beat.
            client.hdel(_key(queue), *dead)


def forget(client: redis.Redis, name: str, queues: list[str]) -> None:
    """Count `name` no more."""
    for queue in queues:
        client.hdel(_key(queue), name)


def live_workers(client: redis.Redis, queue: str) -> list[LiveWorker]:
    """The workers that consume `queue`.

    Raises:
        RedisError: Redis is away.
    """
    now = _now(client)
    return [
        LiveWorker(queue, name, resident)
        for name, (deadline, resident) in sorted(_beats(client, queue).items())
        if deadline >= now
    ]


def _now(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6


def _beats(client: redis.Redis, queue: str) -> dict[str, tuple[float, int]]:
    """Worker → (deadline in seconds by Redis's clock, resident bytes)."""
    found: Any = client.hgetall(_key(queue))
    parts = {name.decode(): value.split() for name, value in found.items()}
    return {name: (float(deadline), int(resident)) for name, (deadline, resident) in parts.items()}


_heartbeat = Heartbeat()


@signals.worker_ready.connect
def _start(sender: Any, **kwargs: Any) -> None:
    _heartbeat.start(str(sender.hostname), sorted(sender.app.amqp.queues.consume_from))


@signals.worker_shutting_down.connect
def _stop(**kwargs: Any) -> None:
    # From here on it finishes what it has and takes nothing new.
    _heartbeat.stop()
