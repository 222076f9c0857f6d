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


class Steps:
    """What one request may still spend. Unpacked bytes count over all archives in it."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.unpacked_bytes: int = request["unpacked_bytes"]
        self.text_characters: int = request["text_characters"]
        self.max_pages: int = request["pages"]
        self._seconds: float = request["seconds"]
        self._seconds_per_scan: float = request["seconds_per_scan"]
        self._scan_seconds: float = request["scan_seconds"]
        self._patience: float = request["patience"]

    def reading(self, work: Callable[[], Any]) -> Any:
        """What `work` returns (as JSON gives it back), within the time left for reading.

        Raises UnreadableFile.
        """
        result, spent = self._forked(work, self._seconds - time.process_time())
        self._seconds -= spent
        return _value(result)

    def scanning(self, work: Callable[[], Any]) -> Any:
        """The same within the time for one image."""
        result, spent = self._forked(work, min(self._seconds_per_scan, self._scan_seconds))
        self._scan_seconds -= spent
        return _value(result)

    def _forked(self, work: Callable[[], Any], seconds: float) -> tuple[bytes | int, float]:
        """(the answer, or the exit status of a step that failed; the processor seconds spent)."""
        if seconds <= 0:
            raise failures.too_slow()
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            _work(work, writer, seconds, self._patience)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
        _, status, used = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        return code or answer, used.ru_utime + used.ru_stime


def _value(result: bytes | int) -> Any:
    if isinstance(result, int):
        raise failures.of_status(result)
    answer = json.loads(result)
    if "code" in answer:
        raise UnreadableFile(answer["code"], answer["message"])
    return answer["value"]


def limit_time(seconds: float, patience: float) -> None:
    """End this process after so much work, or `patience` times as long by the clock, native code or not."""
    for alarm in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(alarm, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * patience)


def _work(work: Callable[[], Any], writer: int, seconds: float, patience: float) -> None:
    """In the fork; does not return."""
    status = 1
    try:
        # The asker's connection is closed too: it must not stay open because a step hangs.
        os.closerange(3, writer)
        os.closerange(writer + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        limit_time(seconds, patience)
        with os.fdopen(writer, "w", encoding="utf-8", errors="surrogatepass") as pipe:
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
