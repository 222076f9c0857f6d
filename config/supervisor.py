"""`make run`: one process that starts everything else and stops what it started.

Web, generation worker, ingestion worker and beat; the embedded PostgreSQL and Redis where `DATABASE_URL` and
`REDIS_URL` do not name others. A process that dies is started again. Ctrl-C or SIGTERM stops all, workers warmly.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.bootstrap import bootstrap
from config.services import embedded, free_port

ROOT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 30


@dataclass
class Stack:
    """A running Atrium."""

    url: str
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, name: str) -> None:
        """Start one of the commands in a process group of its own, so that Ctrl-C reaches the supervisor only."""
        self.processes[name] = subprocess.Popen(
            self.commands[name], cwd=ROOT, env=self.environment, start_new_session=True
        )

    def watch(self) -> None:
        """Start again what dies, until `stop`."""
        while not self._stopping.wait(0.5):
            for name, process in list(self.processes.items()):
                if process.poll() is not None and not self._stopping.is_set():
                    print(f"{name} ended with {process.returncode}; starting it again", file=sys.stderr)
                    self.start(name)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to what has not ended after half a minute."""
        self._stopping.set()
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def commands(host: str, port: int) -> dict[str, list[str]]:
    """What an Atrium consists of: process name → command."""
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery"]
    worker = [*celery, "worker", "--pool", "threads", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    web = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", host, "--port", str(port)]
    return {
        "web": [*web, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"],
        "generation": [
            *worker,
            "-Q",
            "generation,sources,webhooks,maintenance,partitions",
            "-c",
            "64",
            "-n",
            "generation@%h",
            "-l",
            "warning",
        ],
        # glibc gives each thread an arena of its own: parts of a long document would leave their holes in all of them.
        "ingestion": [
            "env",
            "MALLOC_ARENA_MAX=2",
            *worker,
            "-Q",
            "ingestion,reports",
            "-c",
            "4",
            "-n",
            "ingestion@%h",
            "-l",
            "warning",
        ],
        "beat": [*celery, "beat", "-l", "warning", "--schedule", "{var}/beat", "--pidfile="],
    }


@contextmanager
def stack(*, var: Path, host: str = "127.0.0.1", port: int = 8000) -> Iterator[Stack]:
    """A whole Atrium with its data under `var`, migrated and started; stopped on exit.

    The port is another one where `port` is taken or 0; `Stack.url` says which.
    """
    environment = dict(os.environ)
    with ExitStack() as exits:
        if not environment.get("DATABASE_URL") or not environment.get("REDIS_URL"):
            services = exits.enter_context(embedded(var))
            if not environment.get("DATABASE_URL"):
                bootstrap(services.database_url("postgres", "postgres"), passwords={}, tests=False)
                environment |= {
                    "DATABASE_URL": services.database_url("atrium_app"),
                    "OWNER_DATABASE_URL": services.database_url("atrium_owner"),
                    "STAFF_DATABASE_URL": services.database_url("atrium_staff"),
                }
            environment.setdefault("REDIS_URL", services.redis_url)
        environment["ATRIUM_VAR"] = str(var)
        environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
        # Celery warns root at each start; who runs this as root (a container, a test machine) knows.
        environment.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser")
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(_empty_folder(var / "metrics"))
        _prepare(environment)
        chosen = free_port(port, host)
        if port and chosen != port:
            print(f"port {port} is taken; serving on {chosen}", file=sys.stderr)
        atrium = Stack(f"http://{host}:{chosen}", environment)
        atrium.commands = {
            name: [part.replace("{var}", str(var)) for part in command]
            for name, command in commands(host, chosen).items()
        }
        exits.callback(atrium.stop)
        for name in atrium.commands:
            atrium.start(name)
        yield atrium


def _prepare(environment: dict[str, str]) -> None:
    """Migrate and collect static files, side by side: each spends most of its time importing.

    Raises:
        subprocess.CalledProcessError: one of them failed.
    """
    wanted = (["migrate", "-v", "0"], ["collectstatic", "--noinput", "-v", "0"])
    started = [
        subprocess.Popen([sys.executable, "manage.py", *command], cwd=ROOT, env=environment) for command in wanted
    ]
    for process in started:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)


def _empty_folder(folder: Path) -> Path:
    """The web processes' counts start anew with their supervisor; those of one that died meanwhile are kept."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def wait_for_signal() -> None:
    """Return on SIGINT or SIGTERM."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()


def main() -> int:
    """Serve until told to stop."""
    host, port = os.environ.get("ATRIUM_HOST", "127.0.0.1"), int(os.environ.get("ATRIUM_PORT", "8000"))
    var = Path(os.environ.get("ATRIUM_VAR", ROOT / "var"))
    with stack(var=var, host=host, port=port) as atrium:
        threading.Thread(target=atrium.watch, daemon=True).start()
        print(f"Atrium serves on {atrium.url} (API under /v1, admin under /admin/)", flush=True)
        wait_for_signal()
    return 0


if __name__ == "__main__":
    sys.exit(main())
