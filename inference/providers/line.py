"""The socket of a call that a thread makes, so that another thread can break the call off."""

import socket
import threading
from contextlib import suppress
from contextvars import ContextVar


class Line:
    """The socket of one call. Another thread may shut it down, from before the answer begins until it is let go:
    a close alone would not wake the thread that reads from it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._broken = False

    def hold(self, held: socket.socket | None) -> None:
        """The call goes over `held`."""
        with self._lock:
            self._socket = held
            if self._broken:
                self._shut_down()

    def let_go(self) -> None:
        """The call is over; its socket may serve another."""
        with self._lock:
            self._socket = None

    def close(self) -> None:
        """Break the call off, now or as soon as it has a socket."""
        with self._lock:
            self._broken = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the server was faster
                # Not the TLS socket's own method, which takes the reader's state away under it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


#: That of the call which this thread makes; None where nobody can break it off.
current_line: ContextVar[Line | None] = ContextVar("line", default=None)


def hold(held: socket.socket | None) -> None:
    """The call of this thread goes over `held`."""
    if (line := current_line.get()) is not None:
        line.hold(held)


def let_go() -> None:
    """The call of this thread needs its socket no longer."""
    if (line := current_line.get()) is not None:
        line.let_go()
