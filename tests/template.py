"""The migrated database that a session's test databases are copies of: made once, beside imports and collection.

The session that starts the services starts `python -m tests.template` too and hands it a locked file. Whoever needs
tables waits for that lock; the end of the process, however it comes, gives it up.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg import sql

NAME = "atrium_migrated"


class TemplateNotMade(Exception):
    """The migrations failed; the message is what they printed."""


def start(var: Path, root: Path) -> subprocess.Popen[bytes]:
    """Begin to make it, under the lock that `wait` waits for."""
    with _lock(var).open("w") as lock, _log(var).open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.template"],
            cwd=root, stdout=log, stderr=log, pass_fds=[lock.fileno()],
        )  # fmt: skip


def wait(var: Path) -> None:
    """Return when it is there.

    Raises:
        TemplateNotMade: it will never be.
    """
    with _lock(var).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
            raise TemplateNotMade(_log(var).read_text(errors="replace"))


def _lock(var: Path) -> Path:
    return var / "template.lock"


def _log(var: Path) -> Path:
    return var / "template.log"


def main() -> None:
    """Migrate `atrium`, which the end-to-end tests work in, and copy it while nobody is connected."""
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    database = connections["owner"].settings_dict["NAME"]
    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()
    owner = settings.DATABASES["owner"]["USER"]
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
        connection.execute(statement.format(*map(sql.Identifier, (NAME, database, owner))))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
