"""The tasks behind the doorbells, the sweeps of their queues, and the calls that start work. Messages carry nothing:
the rows say what there is to do. A worker that did a unit rings for the next one, so a few bells drain any backlog.
"""

import logging
import threading
from datetime import UTC, datetime
from typing import Any

from celery import shared_task

from tenants import work
from tenants.doorbells import MOST_RUNG, ring, ring_on_commit, ring_swept, worker_name
from tenants.scope import acting_for

from . import (
    attachments,
    expiry,
    file_batches,
    files,
    ingestion,
    partitions,
    purging,
    reembedding,
    replacement,
    retrying,
    storage_hours,
    uploads,
    vector_stores,
)
from .models import BucketSource, File, FileBatch, VectorStore, VectorStoreFile
from .sources import bucket_sources, remote_files, syncing

logger = logging.getLogger(__name__)
_fetching = threading.BoundedSemaphore(8)


@shared_task
def ingest() -> None:
    """Claim one unit, the next by fairness, and ingest it; ring for the parts that it leaves to others too."""
    worker = worker_name()
    claim = ingestion.claim_next(worker=worker)
    if claim is not None:
        with acting_for(claim.tenant_id):
            left = ingestion.run(claim, worker=worker)
        for _ in range(min(1 + left, MOST_RUNG)):
            ring(ingest)


@shared_task
def sweep_ingestion() -> None:
    """Recover what dead workers left, wake what waited, and ring again for rows whose doorbell was lost."""
    for claim in work.expired(work.INGESTION):
        with acting_for(claim.tenant_id):
            ingestion.recover(claim)
    ring_swept(ingest, work.tend(work.INGESTION).queued)


@shared_task
def fetch() -> None:
    """Claim one file, the next by fairness, and fetch it, unless this process already fetches as much as it may at once.

    Fetching shares a worker with generations, which must not wait for slow servers: so it takes a few threads only,
    and who finds none free leaves the work to those who have one, who ring when they are through.
    """
    if not _fetching.acquire(blocking=False):
        return
    try:
        worker = worker_name()
        claim = remote_files.claim_next(worker=worker)
        if claim is None:
            return
        with acting_for(claim.tenant_id):
            begun = remote_files.run(claim, worker=worker)
    finally:
        _fetching.release()
    for _ in range(min(begun, MOST_RUNG)):
        ring(ingest)
    ring(fetch)


@shared_task
def sweep_fetching() -> None:
    """As `sweep_ingestion`, for files from URLs."""
    for claim in work.expired(work.FETCHING):
        with acting_for(claim.tenant_id):
            remote_files.recover(claim)
    ring_swept(fetch, min(1, work.tend(work.FETCHING).queued))


@shared_task
def sync() -> None:
    """Claim one bucket source, the next by fairness, and synchronise it for a while; with the threads of `fetch`."""
    if not _fetching.acquire(blocking=False):
        return
    try:
        worker = worker_name()
        claim = syncing.claim_next(worker=worker)
        if claim is None:
            return
        with acting_for(claim.tenant_id):
            outcome = syncing.run(claim, worker=worker)
    finally:
        _fetching.release()
    for _ in range(min(outcome.begun, MOST_RUNG)):
        ring(ingest)
    if outcome.removed:
        ring(purge)
    ring(sync)


@shared_task
def sweep_syncing() -> None:
    """As `sweep_ingestion`, for bucket sources; and those whose time has come are queued."""
    now = datetime.now(UTC)
    for tenant_id, source_id in bucket_sources.due(now=now):
        with acting_for(tenant_id):
            bucket_sources.start_due(source_id, now=now)
    for claim in work.expired(work.SYNCING):
        with acting_for(claim.tenant_id):
            syncing.recover(claim)
    ring_swept(sync, min(1, work.tend(work.SYNCING).queued))


@shared_task
def purge() -> None:
    """Claim one deleted file or store, the next by fairness, and remove a part of what is left of it."""
    claim = purging.claim_next(worker=worker_name())
    if claim is not None:
        with acting_for(claim.tenant_id):
            purging.purge(claim)
        ring(purge)


@shared_task
def sweep_purging() -> None:
    """As `sweep_ingestion`, for what is deleted."""
    for claim in work.expired(work.PURGING):
        with acting_for(claim.tenant_id):
            purging.recover(claim)
    ring_swept(purge, work.tend(work.PURGING).queued)


@shared_task
def reembed() -> None:
    """Claim one unit of re-embedding, the next by fairness, and do it."""
    worker = worker_name()
    # In the same process as ingestion, whose suspects run with nothing beside them.
    with ingestion.here.beside_others():
        claim = reembedding.claim_next(worker=worker)
        if claim is not None:
            with acting_for(claim.tenant_id):
                reembedding.run(claim, worker=worker)
    if claim is not None:
        ring(reembed)


@shared_task
def sweep_reembedding() -> None:
    """As `sweep_ingestion`, for stores whose embedding model was changed."""
    for claim in work.expired(work.REEMBEDDING):
        with acting_for(claim.tenant_id):
            reembedding.recover(claim)
    ring_swept(reembed, work.tend(work.REEMBEDDING).queued)


@shared_task
def charge_storage() -> None:
    """Charge what each tenant stores for this hour; once, however often it runs."""
    storage_hours.charge_hour(now=datetime.now(UTC))


@shared_task
def sweep_expiry() -> None:
    """Delete files and empty stores whose time is over, each in a transaction of its own."""
    now = datetime.now(UTC)
    for tenant_id, file_id in expiry.expired_files(now):
        with acting_for(tenant_id):
            expiry.expire_file(file_id, now=now)
    for tenant_id, store_id in expiry.expired_stores(now):
        with acting_for(tenant_id):
            expiry.expire_store(store_id, now=now)
    ring_swept(purge, work.depth(work.PURGING).queued)


@shared_task
def tend_partitions() -> None:
    """Move tenants that have outgrown their place, and tend the indexes of large ones; where this worker may."""
    try:
        partitions.tend()
    except partitions.NotOwner as error:
        logger.warning("%s; large tenants stay where they are", error)


def start_ingestion(**attachment: Any) -> VectorStoreFile:
    """`attachments.attach`, and the doorbell on commit."""
    attached = attachments.attach(**attachment)
    ring_on_commit(ingest)
    return attached


def start_upload(**upload: Any) -> uploads.Uploaded:
    """`uploads.upload_to_store`, and the doorbells on commit."""
    uploaded = uploads.upload_to_store(**upload)
    ring_on_commit(ingest, uploaded.begun)
    if upload.get("replaces") is not None:
        ring_on_commit(purge)
    return uploaded


def start_retry(**files: Any) -> int:
    """`retrying.retry`, and doorbells for its files on commit; returns how many there are."""
    begun = retrying.retry(**files)
    ring_on_commit(ingest, begun.queued)
    ring_on_commit(fetch, begun.fetched)
    return begun.queued + begun.fetched


def start_store(**store: Any) -> VectorStore:
    """`vector_stores.create_store`, and doorbells for its files on commit."""
    created = vector_stores.create_store(**store)
    ring_on_commit(ingest, len(store.get("file_ids", ())))
    return created


def start_fetch(**file: Any) -> File:
    """`remote_files.add_remote_file`, and the doorbell on commit."""
    added = remote_files.add_remote_file(**file)
    ring_on_commit(fetch)
    return added


def start_refresh(**file: Any) -> File:
    """`remote_files.refresh`, and the doorbell on commit."""
    asked = remote_files.refresh(**file)
    ring_on_commit(fetch)
    return asked


def start_source(**source: Any) -> BucketSource:
    """`bucket_sources.create_source`, and the doorbell on commit."""
    created = bucket_sources.create_source(**source)
    ring_on_commit(sync)
    return created


def start_sync(**source: Any) -> BucketSource:
    """`bucket_sources.request_sync`, and the doorbell on commit."""
    asked = bucket_sources.request_sync(**source)
    ring_on_commit(sync)
    return asked


def start_batch(**batch: Any) -> FileBatch:
    """`file_batches.create_batch`, and doorbells for its files on commit."""
    created = file_batches.create_batch(**batch)
    ring_on_commit(ingest, len(batch["wanted"]))
    return created


def start_replacement(**versions: Any) -> int:
    """`replacement.replace_file`, with the doorbells on commit."""
    stores = replacement.replace_file(**versions)
    ring_on_commit(ingest, stores)
    ring_on_commit(purge)
    return stores


def update_store(**store: Any) -> VectorStore:
    """`vector_stores.update_store`, and the doorbell of re-embedding on commit where its model changes."""
    updated = vector_stores.update_store(**store)
    if "embedding_model" in store["changes"]:
        ring_on_commit(reembed)
    return updated


def delete_file(**file: Any) -> File:
    """`files.delete_file`, and the doorbell of purging on commit."""
    deleted = files.delete_file(**file)
    ring_on_commit(purge)
    return deleted


def delete_store(**store: Any) -> VectorStore:
    """`vector_stores.delete_store`, and the doorbell of purging on commit."""
    deleted = vector_stores.delete_store(**store)
    ring_on_commit(purge)
    return deleted
