"""One fork server for each process that parses, started with `subprocess` on first use and kept.

Celery's prefork pool may parse too, whose daemonic processes may not use multiprocessing. The server inherits no
environment, hence no secrets, and ends when the process does. See `child` for what happens there.
"""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from .documents import ParserUnavailable


class _ForkServer:
    """The parent's end of `child`."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "knowledge.parsing.child", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                # Nothing of our environment: it holds secrets. Two arenas keep threads from reserving address space.
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2", "OMP_THREAD_LIMIT": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # panics quote the document
            )

    def is_usable(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def hand_over(self, connection: socket.socket) -> None:
        try:
            socket.send_fds(self._control, [b"\0"], [connection.fileno()])
        except OSError as error:
            raise ParserUnavailable("The parser went away.") from error

    def close(self) -> None:
        """End the server (in a fork of its owner: only drop our copy of the socket)."""
        self._control.close()
        if self.owner == os.getpid():
            self._process.wait()


_current: _ForkServer | None = None
_lock = threading.Lock()


def current_server() -> _ForkServer:
    """This process's fork server, started where it is not running."""
    global _current
    with _lock:
        if _current is None or not _current.is_usable():
            if _current is not None:
                _current.close()
            _current = _ForkServer()
        return _current


def shut_down() -> None:
    """Stop this process's fork server, if any; the next `parse` starts another."""
    global _current
    with _lock:
        if _current is not None:
            _current.close()
        _current = None


def _forget_parents_lock() -> None:
    """A fork taken while another thread held the lock would wait on it for ever."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_parents_lock)
