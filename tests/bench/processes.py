"""The processes that a benchmark starts for itself: on loopback, logged under `var/bench`, stopped by their own id.

Each runs in a session of its own, so that stopping one also ends the workers it forked, and never anything else.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
WORKPLACE = ROOT / "var" / "bench"
# The fake upstream and the load scripts are shared by every checkout of the project and live beside it.
SHARED = ROOT.parent / "shared" / "bench"

STOP_GRACE = 10.0


class BenchError(RuntimeError):
    """The benchmark cannot run or its figure would mean nothing; the message says why."""


def shared_file(name: str) -> Path:
    """A file of the project's shared bench folder; BenchError says what is missing and where it was looked for."""
    path = SHARED / name
    if not path.is_file():
        raise BenchError(
            f"../shared/bench/{name} is missing: this benchmark needs the shared folder beside the checkout."
        )
    return path


def free_port() -> int:
    """A loopback port that was free a moment ago. Another process may still take it first; readiness then fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    ready: Callable[[Path], bool],
    timeout: float,
) -> Iterator[Path]:
    """Run `command` until the block ends and yield its log file.

    `ready` is asked with the log file until it says yes. BenchError if the process ends before that, or within
    `timeout` seconds nothing is ready.
    """
    WORKPLACE.mkdir(parents=True, exist_ok=True)
    log = WORKPLACE / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=WORKPLACE,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await(name, process, log, ready, timeout)
        yield log
    finally:
        _stop(process)


def stop_on_sigterm() -> None:
    """Turn SIGTERM into an ordinary exit, so that every `finally` runs and no process outlives the benchmark."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _await(
    name: str, process: subprocess.Popen[bytes], log: Path, ready: Callable[[Path], bool], timeout: float
) -> None:
    deadline = time.monotonic() + timeout
    while not ready(log):
        if process.poll() is not None:
            raise BenchError(f"{name} exited with {process.returncode} before it was ready:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"{name} was not ready within {timeout:.0f} s:\n{_tail(log)}")
        time.sleep(0.2)


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask politely, wait, then end what is left of the session that this process leads."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
