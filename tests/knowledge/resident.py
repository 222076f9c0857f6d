"""How much memory the parser's processes really take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from knowledge.parsing import fork_server

MEBIBYTE = 2**20


class Peak:
    """Bytes that the largest child held resident at any moment."""

    def __init__(self) -> None:
        self.bytes = 0


@contextmanager
def watched(server: psutil.Process | None = None) -> Iterator[Peak]:
    """Look at the children of this process's fork server (or of `server`) every few milliseconds."""
    server = server or psutil.Process(fork_server.current_server()._process.pid)
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            for child in server.children(recursive=True):
                try:
                    peak.bytes = max(peak.bytes, child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue  # done meanwhile

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
