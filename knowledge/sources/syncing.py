"""A store kept in step with a bucket: new objects become files in it, changed ones new versions, deleted ones go.

The bucket's listing and the rows of what is known are both read in the order of the keys' bytes, a page at a time, so
memory is bounded and nothing need be marked as seen. Each object's effect, the counts and the cursor are one
transaction: a run that dies is continued behind the last object that it finished. A run works for some seconds, then
gives its unit back to the end of the queue, so that a bucket of a million objects delays nobody.

A run that stops before the end of the listing has removed nothing that it did not see missing.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from billing.limits.quotas import require_room
from billing.models import Limit
from tenants import work
from tenants.audit import SYSTEM, record
from tenants.errors import AtriumError, InvalidRequest, ServiceUnavailable
from tenants.guarded_http import Limits
from tenants.ids import uuid7
from tenants.leases import Lease, LeaseLost, keeping, lease_time
from tenants.scope import current_tenant, tenant_scope
from tenants.work import Claim

from .. import storage
from ..attachments import attach, lock_stores_of
from ..files import check_description, delete_file, mime_type_of
from ..models import BucketObject, BucketSource, File, VectorStoreFile
from ..replacement import replace_file
from .bucket_sources import next_sync
from .buckets import Bucket, BucketFailed, Listed, ObjectFailed, Place

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5  # without an object between them
SLICE_SECONDS = 20.0
PAGE_SIZE = 500
_IN_MEMORY_BYTES = 1024 * 1024


@dataclass
class Job:
    """A synchronisation, as it was when the run began; `counts` and `cursor` move with it."""

    claim: Claim
    source: BucketSource
    attempts: int
    cursor: bytes
    counts: dict[str, int]
    begun: int = 0
    ends_at: float = field(default_factory=lambda: time.monotonic() + SLICE_SECONDS)

    def count(self, name: str) -> None:
        """One more of `name`."""
        self.counts[name] = self.counts.get(name, 0) + 1


@dataclass(frozen=True)
class Outcome:
    """What a run leaves to other workers: `begun` files that wait to be ingested; `removed`: some wait to be purged."""

    begun: int = 0
    removed: bool = False


class _SliceOver(Exception):
    """The run has had its share of the worker."""


def claim_next(*, worker: str) -> Claim | None:
    """The next source to synchronise by fairness between tenants; the edge then acts for its tenant."""
    return work.claim(work.SYNCING, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str) -> Outcome:
    """Synchronise for a while: to the end, to a failure that is said on the source, or to be continued."""
    job = _begin(claim)
    if job is None:
        return Outcome()
    try:
        with keeping(claim, worker=worker) as lease, closing(Bucket(_place(job.source), _limits())) as bucket:
            _follow(job, bucket, lease)
            _complete(job)
    except _SliceOver:
        with tenant_scope():
            work.retry(claim, delay=timedelta(), reason="")
    except LeaseLost:
        logger.info("the synchronisation of %s was taken over or cancelled", job.source.id)
        with tenant_scope():
            work.finish(claim)  # of a deleted source; what was taken over is another's, and stays
    except BucketFailed as error:
        _end_badly(job, error.message, permanent=error.permanent)
    except ServiceUnavailable as error:
        _end_badly(job, error.message, permanent=False)
    except AtriumError as error:  # the store has expired or is gone
        _end_badly(job, error.message, permanent=True)
    return Outcome(job.begun, bool(job.counts.get("removed") or job.counts.get("changed")))


def recover(claim: Claim) -> None:
    """Decide about a unit whose worker died: continued, or, where that comes to nothing, failed and dead-lettered."""
    with tenant_scope():
        source = BucketSource.objects.select_for_update(no_key=True).filter(sync_id=claim.id).first()
        if source is None:
            work.finish(claim)
        elif source.sync_attempts < MAX_ATTEMPTS:
            work.retry(claim, delay=timedelta(), reason="the worker died")
        elif work.bury(claim, reason="the worker died"):
            _mark_failed(source, f"The worker died {MAX_ATTEMPTS} times on it.")


def _place(source: BucketSource) -> Place:
    return Place(
        source.bucket, source.prefix, source.region, source.endpoint_url, source.access_key_id, source.secret_access_key
    )


def _limits() -> Limits:
    return Limits(settings.MAX_FILE_BYTES)


def _begin(claim: Claim) -> Job | None:
    """Take the fence; None where nothing is to be done."""
    with tenant_scope():
        source = BucketSource.objects.select_for_update(no_key=True).filter(sync_id=claim.id).first()
        if source is None:
            work.finish(claim)
            return None
        attempts = source.sync_attempts + 1
        if attempts > MAX_ATTEMPTS:
            if work.bury(claim, reason="too many attempts"):
                _mark_failed(source, f"It failed {MAX_ATTEMPTS} times. {source.last_error}".strip())
            return None
        started = {} if source.counts else {"last_started_at": Now()}
        BucketSource.objects.filter(id=source.id).update(sync_attempts=attempts, sync_claim=claim.attempt, **started)
        return Job(claim, source, attempts, bytes(source.cursor), dict(source.counts))


def _follow(job: Job, bucket: Bucket, lease: Lease) -> None:
    """The rest of the listing, page by page."""
    while True:
        lease.check()
        page = bucket.page(after=job.cursor, size=PAGE_SIZE)
        until = None if page.last else page.objects[-1].key
        known = _known(job, until)
        for key in sorted(known.keys() - {one.key for one in page.objects}):
            _remove(job, known[key])
        for one in page.objects:
            lease.check()
            _step(job, bucket, lease, one, known.get(one.key))
        if page.last:
            return
        _save(job)


def _known(job: Job, until: bytes | None) -> dict[bytes, BucketObject]:
    """The rows behind the cursor, up to `until`."""
    with tenant_scope():
        rows = BucketObject.objects.filter(source=job.source, key__gt=job.cursor)
        if until is not None:
            rows = rows.filter(key__lte=until)
        found = {bytes(row.key): row for row in rows}
        alive = set(File.objects.filter(id__in=[row.file_id for row in found.values()]).values_list("id", flat=True))
    for row in found.values():
        if row.file_id not in alive:
            row.file_id = None  # deleted by hand: it comes back, as the store is to be in step
    return found


def _step(job: Job, bucket: Bucket, lease: Lease, listed: Listed, row: BucketObject | None) -> None:
    """One object of the listing; the cursor is then behind it."""
    job.count("seen")
    if row is not None and row.etag == listed.etag and row.size == listed.size and (row.file_id or row.reason):
        job.count("skipped" if row.reason else "unchanged")
        job.cursor = listed.key
    else:
        try:
            _bring(job, bucket, lease, listed, row)
        except ObjectFailed as error:
            # Without its ETag, so that the next synchronisation looks again.
            _skip(job, Listed(listed.key, "", listed.size), row, error.message)
    if time.monotonic() >= job.ends_at:
        _save(job)
        raise _SliceOver


def _bring(job: Job, bucket: Bucket, lease: Lease, listed: Listed, row: BucketObject | None) -> None:
    """Make an object a file of the store, or the next version of the one it was."""
    name = listed.key.rpartition(b"/")[2].decode()
    if reason := _unwanted(listed, name):
        _skip(job, listed, row, reason)
        return
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spooled:
        content = cast(BinaryIO, spooled)
        digest, size = sha256(), 0
        for part in _parts(bucket, listed):
            lease.check()
            content.write(part)
            digest.update(part)
            size += len(part)
        if size == 0:
            raise ObjectFailed("It is empty.")
        content.seek(0)
        file = File(id=uuid7(), purpose="assistants", filename=name, mime_type=mime_type_of(name), bytes=size)
        file.sha256 = digest.hexdigest()
        file.storage_key = storage.put(file.id, content)
    kept = False
    try:
        kept = _publish(job, listed, row, file)
    finally:
        if not kept:
            storage.delete(file.id)


def _parts(bucket: Bucket, listed: Listed) -> Iterator[bytes]:
    limit = settings.MAX_FILE_BYTES
    return bucket.read(listed, limit=limit, too_large=f"It has more than {limit:,} bytes, which is the limit.")


def _unwanted(listed: Listed, name: str) -> str:
    """Why an object becomes no file; '' where it does."""
    if not name:
        return "It is a folder, not a document."
    if listed.size == 0:
        return "It is empty."
    if listed.size > settings.MAX_FILE_BYTES:
        return f"It has {listed.size:,} bytes; the limit is {settings.MAX_FILE_BYTES:,}."
    try:
        check_description(purpose="assistants", filename=name, lifetime=None)
    except InvalidRequest:
        return "Its name, after the last slash, cannot be the name of a file."
    return ""


def _publish(job: Job, listed: Listed, row: BucketObject | None, file: File) -> bool:
    """The file in the store, the row, the counts and the cursor, all at once; False where the bytes are not new."""
    with tenant_scope() as tenant_id:
        old = _fence(job, row)
        same = old is not None and old.sha256 == file.sha256
        if not same:
            require_room(Limit.STORED_BYTES, file.bytes)
            file.tenant_id = tenant_id
            file.save(force_insert=True)
            record(by=SYSTEM, action="file.created", target=file, changes={"source": str(job.source.id)})
            job.begun += _place_file(job, listed, file, old)
        kept = old.id if same and old is not None else file.id
        _write(job, listed, file_id=kept, reason="")
        job.count("unchanged" if same else "changed" if old is not None else "added")
        _save(job, cursor=listed.key)
    return not same


def _place_file(job: Job, listed: Listed, file: File, old: File | None) -> int:
    """Attach a file to the store, or let it follow its older version wherever that is; how many wait for ingestion."""
    source, begun = job.source, 0
    if old is not None:
        begun = replace_file(old_file_id=old.id, new_file_id=file.id, by=SYSTEM, key_id=source.key_id)
    if not VectorStoreFile.objects.filter(store_id=source.store_id, file=file).exists():
        attributes = {"bucket": source.bucket, "key": listed.key.decode()[:512]}
        attach(store_id=source.store_id, file_id=file.id, by=SYSTEM, key_id=source.key_id, attributes=attributes)
        begun += 1
    return begun


def _skip(job: Job, listed: Listed, row: BucketObject | None, reason: str) -> None:
    """Remember why an object is no file; one that it was before goes."""
    with tenant_scope():
        old = _fence(job, row)
        if old is not None:
            delete_file(file_id=old.id, by=SYSTEM)
            job.count("removed")
        _write(job, listed, file_id=None, reason=reason)
        job.count("skipped")
        _save(job, cursor=listed.key)


def _remove(job: Job, row: BucketObject) -> None:
    """An object is gone from the bucket: so is its file."""
    with tenant_scope():
        old = _fence(job, row)
        if old is not None:
            delete_file(file_id=old.id, by=SYSTEM)
            job.count("removed")
        BucketObject.objects.filter(id=row.id).delete()
        _save(job)


def _write(job: Job, listed: Listed, *, file_id: UUID | None, reason: str) -> None:
    BucketObject.objects.update_or_create(
        tenant_id=current_tenant(),
        source=job.source,
        key=listed.key,
        defaults={"etag": listed.etag, "size": listed.size, "file_id": file_id, "reason": reason},
    )


def _fence(job: Job, row: BucketObject | None) -> File | None:
    """Lock the stores and then the source, in the order that everybody keeps; the file that the object was, if it is.

    Raises:
        LeaseLost: the source is gone, or another attempt's.
    """
    file_id = row.file_id if row is not None else None
    lock_stores_of(file_id, also=job.source.store_id)
    if _fenced(job).select_for_update(no_key=True).first() is None:
        raise LeaseLost
    return File.objects.filter(id=file_id).first() if file_id is not None else None


def _fenced(job: Job) -> QuerySet[BucketSource]:
    return BucketSource.objects.filter(id=job.source.id, sync_id=job.claim.id, sync_claim=job.claim.attempt)


def _save(job: Job, *, cursor: bytes | None = None) -> None:
    """Keep how far it is; what has come this far is not stuck."""
    job.cursor = cursor if cursor is not None else job.cursor
    with tenant_scope():
        saved = _fenced(job).update(cursor=job.cursor, counts=job.counts, sync_attempts=0, last_error="")
    if not saved:
        raise LeaseLost


def _complete(job: Job) -> None:
    with tenant_scope():
        if not _fenced(job).select_for_update(no_key=True).exists() or not work.finish(job.claim):
            raise LeaseLost
        _end(job.source, counts=job.counts, last_error="", last_completed_at=Now())


def _end(source: BucketSource, **values: Any) -> None:
    due = next_sync(source, now=datetime.now(UTC))
    BucketSource.objects.filter(id=source.id).update(sync_id=None, cursor=b"", next_sync_at=due, **values)


def _end_badly(job: Job, message: str, *, permanent: bool) -> None:
    """Fail with the reason, or wait 5, 15, 45, 135 s for another attempt; after the last it is a dead letter."""
    logger.info("the synchronisation of %s failed, %s", job.source.id, "for good" if permanent else "for now")
    with tenant_scope():
        source = _fenced(job).select_for_update(no_key=True).first()
        if source is None:
            return
        attempts = max(1, source.sync_attempts)
        if permanent:
            if work.finish(job.claim):
                _mark_failed(source, message)
        elif attempts < MAX_ATTEMPTS:
            if work.retry(job.claim, delay=timedelta(seconds=5 * 3 ** (attempts - 1)), reason=message):
                # An attempt that got somewhere counts as the first again.
                BucketSource.objects.filter(id=source.id).update(sync_attempts=attempts, last_error=message)
        elif work.bury(job.claim, reason=message):
            _mark_failed(source, f"It failed {MAX_ATTEMPTS} times. {message}")


def _mark_failed(source: BucketSource, message: str) -> None:
    """The source says why; a periodic one tries again when it is due."""
    _end(source, last_error=message)
