"""Buckets that vector stores follow: created, listed, read, synchronised on demand, deleted.

One unit of work stands for a source while a synchronisation waits or runs, so two never run at once. Deleting a source
ends that; the files that it brought stay.
"""

import re
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connections
from django.db.models import QuerySet

from billing.limits import current_share
from tenants import work
from tenants.audit import SYSTEM, Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.guarded_http import Refused, check_target
from tenants.ids import uuid7
from tenants.scope import tenant_scope

from ..attachments import lock_store
from ..attributes import storable
from ..models import BucketObject, BucketSource, VectorStore
from .buckets import Place

MAX_SOURCES = 20
_DUE_AT_ONCE = 100


def create_source(
    *, store_id: UUID | None, place: Place, sync_every_minutes: int | None, by: Actor, key_id: UUID | None = None
) -> BucketSource:
    """Let a store follow a bucket's prefix, and queue the first synchronisation; `key_id`'s budget pays for ingestion.

    Raises:
        NotFound: no such store.
        InvalidRequest: a place that cannot be one, or too many sources.
    """
    _check(place)
    with tenant_scope() as tenant_id:
        store = lock_store(store_id)
        if BucketSource.objects.filter(store=store).count() >= MAX_SOURCES:
            raise InvalidRequest(f"A vector store follows at most {MAX_SOURCES} sources.", param="vector_store_id")
        source = BucketSource(
            tenant_id=tenant_id,
            store=store,
            bucket=place.bucket,
            prefix=place.prefix,
            region=place.region,
            endpoint_url=place.endpoint_url,
            access_key_id=place.access_key_id,
            secret_access_key=place.secret_access_key,
            sync_every_minutes=sync_every_minutes,
            key_id=key_id,
        )
        source.save(force_insert=True)
        _enqueue(source)
        source.refresh_from_db()
        record(by=by, action="vector_store_source.created", target=source, changes={"bucket": place.bucket})
    return source


def _check(place: Place) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", place.bucket):
        raise InvalidRequest("Invalid 'bucket': the name of a bucket, without a path.", param="bucket")
    if not re.fullmatch(r"[a-z0-9-]{1,64}", place.region):
        raise InvalidRequest("Invalid 'region': such as eu-central-1.", param="region")
    if len(place.prefix.encode(errors="replace")) > 1024 or not storable(place.prefix):
        raise InvalidRequest("Invalid 'prefix': at most 1024 bytes of UTF-8.", param="prefix")
    for param in ("access_key_id", "secret_access_key"):
        value = getattr(place, param)
        if not 0 < len(value) <= 512 or not value.isprintable() or not value.isascii():
            raise InvalidRequest(f"Invalid '{param}': 1 to 512 printable characters.", param=param)
    if place.endpoint_url:
        try:
            target = check_target(place.endpoint_url)
        except Refused as error:
            raise InvalidRequest(f"Invalid 'endpoint_url': {error.message}", param="endpoint_url") from error
        if target.path != "/":
            raise InvalidRequest("Invalid 'endpoint_url': must not have a path or query.", param="endpoint_url")


def _enqueue(source: BucketSource) -> None:
    """Inside a scope, with the source locked or new."""
    unit = uuid7()
    BucketSource.objects.filter(id=source.id).update(
        sync_id=unit, sync_attempts=0, cursor=b"", counts={}, last_error="", next_sync_at=None
    )
    work.enqueue(source.tenant_id, unit, work.SYNCING, share=current_share())


def sources_of(*, store_id: UUID | None) -> QuerySet[BucketSource]:
    """A store's sources; call it and evaluate inside a scope.

    Raises:
        NotFound: no such store.
    """
    store = VectorStore.objects.filter(id=store_id).first() if store_id else None
    if store is None:
        raise NotFound("No such VectorStore object.", param="vector_store_id")
    return BucketSource.objects.filter(store=store)


def get_source(*, store_id: UUID | None, source_id: UUID | None) -> BucketSource:
    """A source of a store.

    Raises:
        NotFound: no such store, or no such source of it.
    """
    with tenant_scope():
        return _found(sources_of(store_id=store_id), source_id)


def _found(rows: QuerySet[BucketSource], source_id: UUID | None) -> BucketSource:
    source = rows.filter(id=source_id).first() if source_id else None
    if source is None:
        raise NotFound("No such VectorStoreSource object.", param="source_id")
    return source


def request_sync(*, store_id: UUID | None, source_id: UUID | None, by: Actor) -> BucketSource:
    """Queue a synchronisation, unless one waits or runs.

    Raises:
        NotFound: no such store, or no such source of it.
    """
    with tenant_scope():
        source = _found(sources_of(store_id=store_id).select_for_update(no_key=True), source_id)
        if source.sync_id is None:
            _enqueue(source)
            record(by=by, action="vector_store_source.sync_requested", target=source)
            source.refresh_from_db()
    return source


def due(*, now: datetime) -> list[tuple[UUID, UUID]]:
    """(tenant, source) of those whose next synchronisation is due, over all tenants."""
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM due_bucket_sources(%s, %s)", [now, _DUE_AT_ONCE])
            return list(cursor.fetchall())
    finally:
        if not connection.in_atomic_block:
            connection.close()


def start_due(source_id: UUID, *, now: datetime) -> None:
    """Queue a synchronisation of the current tenant's source that is due, unless another sweep has."""
    with tenant_scope():
        rows = BucketSource.objects.select_for_update(no_key=True)
        source = rows.filter(id=source_id, sync_id=None, next_sync_at__lte=now).first()
        if source is not None:
            _enqueue(source)
            record(by=SYSTEM, action="vector_store_source.sync_requested", target=source)


def next_sync(source: BucketSource, *, now: datetime) -> datetime | None:
    """When a source whose synchronisation ends now is due again; None: when somebody asks."""
    return now + timedelta(minutes=source.sync_every_minutes) if source.sync_every_minutes else None


def delete_source(*, store_id: UUID | None, source_id: UUID | None, by: Actor) -> BucketSource:
    """Stop following a bucket; the files that it brought stay.

    Raises:
        NotFound: no such store, or no such source of it.
    """
    with tenant_scope():
        source = _found(sources_of(store_id=store_id).select_for_update(), source_id)
        BucketSource.objects.filter(id=source.id).delete()
        record(by=by, action="vector_store_source.deleted", target=source, changes={"bucket": source.bucket})
    return source


def objects_of(source: BucketSource, *, skipped: bool | None = None) -> QuerySet[BucketObject]:
    """What a source has seen in its bucket; `skipped` picks those with or without a reason. Evaluate inside a scope."""
    rows = BucketObject.objects.filter(source=source)
    return rows if skipped is None else rows.exclude(reason="") if skipped else rows.filter(reason="")
