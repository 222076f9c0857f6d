"""Files and stores whose time is over. They answer as expired from that moment; the sweep then deletes the files, and
empties the stores, which stay with their list of files, so that a client can make a new one of it.

Each is handled in a transaction of its own in its tenant's scope, decided anew under its lock, so that it can run twice
and at once with a client that deletes or uses it.
"""

from datetime import datetime
from uuid import UUID

from django.db import connections

from tenants.audit import SYSTEM, record
from tenants.scope import tenant_scope
from tenants.work import PURGING, enqueue

from .deletion import mark_file
from .lifetime import has_expired
from .models import File, VectorStore, VectorStoreFile
from .removal import IN_PROGRESS, cancel, remove_everywhere

AT_ONCE = 200


def expired_files(now: datetime) -> list[tuple[UUID, UUID]]:
    """(tenant, file) of files whose time is over, the longest ago first."""
    return _ids("SELECT * FROM expired_files(%s, %s)", now)


def expired_stores(now: datetime) -> list[tuple[UUID, UUID]]:
    """(tenant, store) of stores whose time is over and that still have their content."""
    return _ids("SELECT * FROM expired_stores(%s, %s)", now)


def _ids(query: str, now: datetime) -> list[tuple[UUID, UUID]]:
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, [now, AT_ONCE])
            return list(cursor.fetchall())
    finally:
        if not connection.in_atomic_block:
            connection.close()


def expire_file(file_id: UUID, *, now: datetime) -> None:
    """Delete a file of the current tenant if its time is over; ring the doorbell of purging."""
    with tenant_scope():
        file = File.objects.filter(id=file_id, expires_at__lte=now).first()
        if file is not None:
            remove_everywhere(file)
            mark_file(file, by=SYSTEM, reason="expired")


def expire_store(store_id: UUID, *, now: datetime) -> None:
    """Empty a store of the current tenant if its time is over; ring the doorbell of purging."""
    with tenant_scope():
        rows = VectorStore.objects.select_for_update(no_key=True).filter(id=store_id, expired_at=None)
        store = rows.first()
        if store is None or not has_expired(store, now):
            return
        cancel(VectorStoreFile.objects.select_for_update().filter(store=store, state__in=IN_PROGRESS))
        VectorStore.objects.filter(id=store.id).update(expired_at=now, revision=store.revision + 1)
        enqueue(store.tenant_id, store.id, PURGING)
        record(by=SYSTEM, action="vector_store.expired", target=store)
