"""The steps of one parse, each in a fork of its own with a time limit of its own.

A step that dies (of its limits, of a fault in a parser) takes nothing with it: the next attachment or page is read all
the same. xberg is only ever called in a step, because a process that has used it cannot fork: its threads are gone.
"""

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

from . import failures
from .documents import INVALID_FILE, UnreadableFile

_GRACE_SECONDS = 1.0


class Steps:
    """What one request may still spend. Unpacked bytes count over all archives in it."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.unpacked_bytes: int = request["unpacked_bytes"]
        self.text_characters: int = request["text_characters"]
        self.max_pages: int = request["pages"]
        self._seconds_per_scan: float = request["seconds_per_scan"]
        self._scan_seconds: float = request["scan_seconds"]

    def reading(self, work: Callable[[], Any], *, seconds: float | None = None) -> Any:
        """What `work` returns (as JSON gives it back), within the time left for reading.

        Raises UnreadableFile.
        """
        remaining, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        started = time.monotonic()
        try:
            return _forked(work, min(remaining, seconds or remaining))
        finally:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, remaining - (time.monotonic() - started)))

    def scanning(self, work: Callable[[], Any]) -> Any:
        """The same within the time for one image; the time for reading stands still."""
        remaining, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        started = time.monotonic()
        try:
            if self._scan_seconds <= 0:
                raise failures.too_slow()
            return _forked(work, min(self._seconds_per_scan, self._scan_seconds))
        finally:
            self._scan_seconds -= time.monotonic() - started
            signal.setitimer(signal.ITIMER_REAL, remaining)


def _forked(work: Callable[[], Any], seconds: float) -> Any:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _work(work, writer, seconds)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise failures.of_status(os.waitstatus_to_exitcode(status))
    result = json.loads(answer)
    if "code" in result:
        raise UnreadableFile(result["code"], result["message"])
    return result["value"]


def _work(work: Callable[[], Any], writer: int, seconds: float) -> None:
    """In the fork; does not return."""
    status = 1
    try:
        # The asker's connection is closed too: it must not stay open because a step hangs.
        os.closerange(3, writer)
        os.closerange(writer + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (min(most, max(1, round(seconds + _GRACE_SECONDS))), most))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with os.fdopen(writer, "w", encoding="utf-8", errors="replace") as pipe:
            json.dump(_outcome(work), pipe, ensure_ascii=False)
        status = 0
    finally:
        os._exit(status)


def _outcome(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": work()}
    except UnreadableFile as error:
        return {"code": error.code, "message": error.message}
    except MemoryError:
        return {"code": INVALID_FILE, "message": failures.too_much_memory().message}
