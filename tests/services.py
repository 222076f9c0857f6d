"""pytest plugin: the session's own PostgreSQL and Redis, started before Django reads its settings.

Loaded by `-p tests.services` (pyproject). Under xdist the controller starts them and the workers inherit the
addresses. A session has its own folder under `var/`, so two sessions do not meet.
"""

import gc
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests import template

_ROOT = Path(__file__).resolve().parent.parent
_stack = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Start both services unless the environment names them already."""
    gc.disable()  # while everything is imported, of which nothing goes away
    if os.environ.get("DATABASE_URL"):
        _own_redis_database()
        return
    from config.bootstrap import bootstrap
    from config.services import embedded

    var = _ROOT / "var" / f"test-{os.getpid()}"
    _stack.callback(shutil.rmtree, var, ignore_errors=True)
    services = _stack.enter_context(embedded(var))
    # Where production keeps collected static files: whitenoise warns without it, and warnings are errors.
    (var / "static").mkdir()
    superuser = services.database_url("postgres", "postgres")
    _forget_the_disk(superuser)
    bootstrap(superuser, passwords={}, tests=True)
    os.environ["ATRIUM_VAR"] = str(var)
    os.environ["DATABASE_URL"] = services.database_url("atrium_app")
    os.environ["OWNER_DATABASE_URL"] = services.database_url("atrium_owner")
    os.environ["STAFF_DATABASE_URL"] = services.database_url("atrium_staff")
    os.environ["SUPERUSER_DATABASE_URL"] = services.database_url("postgres")
    os.environ["REDIS_URL"] = services.redis_url
    os.environ["TEST_DATABASE_TEMPLATE"] = template.NAME
    _stack.callback(_end, template.start(var, _ROOT))


def _end(process: subprocess.Popen[bytes]) -> None:
    """A session of tests without a database may be over sooner than the migrations."""
    process.terminate()
    process.wait()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All end-to-end tests go to one worker, as do those of the API's document, which is made once for them; every other
    test goes to whichever is free.

    xdist's own `loadgroup` did not group anything under the pinned pytest (9.2 with xdist 3.8).
    """
    from xdist.scheduler import LoadScopeScheduling

    class EndToEndTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/e2e/"):
                return "e2e"
            return "document" if nodeid.startswith("tests/config/test_openapi.py") else nodeid

    return EndToEndTogether(config, log)


def _forget_the_disk(superuser_url: str) -> None:
    """Nobody needs these rows after a power cut; what dies with a process alone is safe without waiting for the disk."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


def _own_redis_database() -> None:
    """Each xdist worker has a Redis database of its own, as it has a Postgres one; the end-to-end stack has number 1."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rsplit('/', 1)[0]}/{int(worker[2:]) + 2}"


def pytest_collection_finish() -> None:
    """What was imported stays until the end: collections that walk it again and again cost a tenth of the suite."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def pytest_unconfigure() -> None:
    """Stop what this session started."""
    _stack.close()
