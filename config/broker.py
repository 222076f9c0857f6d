"""Celery over Redis, with one client a channel.

kombu 5.7 makes a new Redis client for every command it sends, which costs more than the command: 15 % of a busy
worker's time, measured. A client only borrows connections from the channel's pool, so a channel can keep one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """kombu's channel, its client kept."""

    @cached_property
    def _kept_client(self) -> Any:
        return self._create_client()

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """`client`, or the channel's own."""
        yield client or self._kept_client


class Transport(redis.Transport):
    """kombu's transport with our channel."""

    Channel = Channel


def install() -> None:
    """Make `redis://` mean this transport; `rediss://` and other brokers stay kombu's."""
    TRANSPORT_ALIASES["redis"] = "config.broker:Transport"
