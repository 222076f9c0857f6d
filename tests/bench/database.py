"""A database of the benchmark's own, migrated, with a tenant in it, before Django reads its settings."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import django

from config.bootstrap import bootstrap
from config.services import embedded
from tests.bench.processes import WORKPLACE


@contextmanager
def own_database(name: str, *, keep: bool = False) -> Iterator[UUID]:
    """Start PostgreSQL and Redis under `var/bench/<name>`, set Django up on them and yield a tenant's id.

    Args:
        keep: leave the data there, and begin with what is there.
    """
    var = WORKPLACE / name
    if not keep:
        shutil.rmtree(var, ignore_errors=True)  # what a run that was killed left behind
    with ExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, var, ignore_errors=True)
        services = stack.enter_context(embedded(var))
        bootstrap(services.database_url("postgres", "postgres"), passwords={}, tests=False)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ATRIUM_VAR": str(var),
            "DATABASE_URL": services.database_url("atrium_app"),
            "OWNER_DATABASE_URL": services.database_url("atrium_owner"),
            "STAFF_DATABASE_URL": services.database_url("atrium_staff"),
            "SUPERUSER_DATABASE_URL": services.database_url("postgres"),
            "REDIS_URL": services.redis_url,
            "LOG_LEVEL": "WARNING",
        }
        django.setup()
        yield _tenant()
        _close()


def _tenant() -> UUID:
    # Models can be imported only once Django is set up.
    from django.core.management import call_command

    from tenants.audit import COMMAND_LINE
    from tenants.registry import create_tenant, tenant_by_slug

    call_command("migrate", verbosity=0)
    if there := tenant_by_slug("bench"):
        return there
    return create_tenant(slug="bench", name="Bench", by=COMMAND_LINE).id


def _close() -> None:
    from django.db import connections

    from knowledge.parsing import fork_server

    fork_server.shut_down()
    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()


def attach_texts(tenant_id: UUID, texts: dict[str, str]) -> UUID:
    """A store with one plain-text file for each text, queued for ingestion."""
    return attach_files(tenant_id, {f"{name}.txt": text.encode() for name, text in texts.items()})


def attach_files(tenant_id: UUID, contents: dict[str, bytes]) -> UUID:
    """A store with one file for each name, queued for ingestion."""
    import io
    from datetime import UTC, datetime

    from knowledge import attachments, files, vector_stores
    from tenants.audit import COMMAND_LINE
    from tenants.scope import acting_for

    with acting_for(tenant_id):
        store = vector_stores.create_store(by=COMMAND_LINE, name="bench")
        for name, data in contents.items():
            sent = files.Upload(filename=name, content=io.BytesIO(data), size=len(data))
            file = files.create_file(upload=sent, purpose="assistants", by=COMMAND_LINE, now=datetime.now(UTC))
            attachments.attach(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
    return store.id


def ingest_all(*, workers: int = 2) -> None:
    """Ingest what is queued by threads, as the pool of an ingestion worker does."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    from knowledge import ingestion
    from tenants import work
    from tenants.scope import acting_for

    def drain(number: int) -> None:
        while True:
            claim = ingestion.claim_next(worker=f"bench-{number}")
            if claim is not None:
                with acting_for(claim.tenant_id):
                    ingestion.run(claim, worker=f"bench-{number}")
                continue
            waiting = work.depth(work.INGESTION)
            if not waiting.queued and not waiting.running:
                return
            time.sleep(0.01)  # another thread's unit may leave more

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(drain, range(workers)))
