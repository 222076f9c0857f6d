"""A call that runs in threads and can be broken off from another one."""

import threading
from contextlib import suppress

from .base import Connection


class ThreadedCall:
    """A `Cancellation`: its connections are closed when it is stopped."""

    def __init__(self) -> None:
        self._stopped = False
        self._connections: list[Connection] = []
        self._lock = threading.Lock()

    @property
    def requested(self) -> bool:
        """Whether the call should stop."""
        return self._stopped

    def watch(self, connection: Connection) -> None:
        """Break `connection` off when the call is stopped, at once if it was."""
        with self._lock:
            self._connections.append(connection)
            stopped = self._stopped
        if stopped:
            connection.close()

    def stop(self) -> None:
        """Stop the call."""
        with self._lock:
            self._stopped = True
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError, ValueError, RuntimeError):
                # The response may have ended in this very moment; then there is nothing to break off.
                connection.close()
