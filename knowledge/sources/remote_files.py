"""Files from URLs: a row at once, the bytes by a worker, and again when a client asks for a refresh.

uploaded → processed | error(why). A run holds a claim (`tenants.work`) and no transaction while it fetches. Each
attempt stores its bytes under an id of its own before the row names them, so a worker may die anywhere, and one that
was taken over overwrites nothing and writes nothing. Every step can run twice.

A refresh that finds newer bytes changes a file in place where no store has it. Where one has, the bytes become a new
file that replaces this one there (`replacement`), so that nobody searches a moment without either.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from billing.limits import current_share
from billing.limits.quotas import QuotaExceeded, require_room
from billing.models import Limit
from tenants import work
from tenants.audit import SYSTEM, Actor, record
from tenants.errors import InvalidRequest, ServiceUnavailable
from tenants.guarded_http import Limits, Refused, SourceFailed, Target, check_target, parse_target
from tenants.ids import public_id, uuid7
from tenants.leases import Lease, LeaseLost, keeping, lease_time
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import emit
from tenants.work import Claim

from .. import storage
from ..attachments import begin_waiting, fail_waiting, lock_stores_of
from ..files import check_description, get_file, mime_type_of
from ..models import Document, File, VectorStoreFile
from ..replacement import replace_file
from .fetching import Fetched, Version, fetch

logger = logging.getLogger(__name__)
Status = File.Status

MAX_ATTEMPTS = 5
_IN_MEMORY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Job:
    """A file to be fetched, as it was when the run began. `known` is None unless its bytes are there already."""

    claim: Claim
    file: File
    known: Version | None

    def knows(self, fetched: Fetched | None) -> bool:
        """Whether the file has these bytes already."""
        return fetched is None or (self.known is not None and fetched.sha256 == self.file.sha256)


def add_remote_file(
    *, url: str, purpose: str, by: Actor, now: datetime, filename: str | None = None, lifetime: timedelta | None = None
) -> File:
    """A new file of the current tenant whose bytes a worker will fetch.

    Args:
        filename: what the file is called; without one the server or the URL decides.

    Raises:
        InvalidRequest: a URL that cannot work, a bad name, an unknown purpose or a lifetime out of range.
    """
    target = _checked(url)
    name = filename if filename is not None else _name_from(target)
    check_description(purpose=purpose, filename=name, lifetime=lifetime, param="filename")
    with tenant_scope() as tenant_id:
        file = File.objects.create(
            tenant_id=tenant_id,
            purpose=purpose,
            filename=name,
            bytes=0,
            mime_type=mime_type_of(name),
            status=Status.UPLOADED,
            source_url=url,
            expires_at=now + lifetime if lifetime is not None else None,
        )
        file.refresh_from_db(fields=["created_at"])
        _enqueue(file)
        record(by=by, action="file.created", target=file, changes={"host": target.host, "purpose": purpose})
    return file


def _enqueue(file: File) -> None:
    file.fetch_id, file.fetch_attempts = uuid7(), 0
    file.save(update_fields=["fetch_id", "fetch_attempts", "status", "status_details"])
    work.enqueue(file.tenant_id, file.fetch_id, work.FETCHING, share=current_share())


def _checked(url: str) -> Target:
    try:
        return check_target(url)
    except Refused as error:
        raise InvalidRequest(f"Invalid 'url': {error.message}", param="url") from error


def _name_from(target: Target) -> str:
    name = target.filename[-255:]
    usable = name.isprintable() and name not in ("", ".", "..") and "/" not in name
    return name if usable else target.host[:255]


def refresh(*, file_id: UUID | None, by: Actor, sight: Collection[str] | None = None) -> File:
    """Ask the source again: for a newer version, or, after an error, for the bytes. Once is enough while it lasts.

    Raises:
        NotFound: missing, expired, another tenant's, or kept from the caller.
        InvalidRequest: the file was uploaded, or has been replaced.
    """
    with tenant_scope():
        found = get_file(file_id=file_id, sight=sight)
        file = File.objects.select_for_update(no_key=True).get(id=found.id)
        if not file.source_url:
            raise InvalidRequest("The file was uploaded; only files from a URL can be refreshed.", param="id")
        if file.replaced_by_id is not None:
            raise InvalidRequest("The file has been replaced by a newer version; refresh that one.", param="id")
        if file.fetch_id is None:
            if file.status == Status.ERROR:
                file.status = Status.UPLOADED
            file.status_details = ""
            _enqueue(file)
            record(by=by, action="file.refresh_requested", target=file)
    return file


def claim_next(*, worker: str) -> Claim | None:
    """The next file to fetch by fairness between tenants; the edge then acts for its tenant."""
    return work.claim(work.FETCHING, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str) -> int:
    """Fetch what `claim` stands for, to its end: there, unchanged, failed with a reason, or to be tried again.

    Returns:
        How many attachments now wait for a worker that ingests them.
    """
    job = _begin(claim)
    if job is None:
        return 0
    try:
        with keeping(claim, worker=worker) as lease:
            return _fetch(job, lease)
    except LeaseLost:
        logger.info("the fetch of %s was taken over or cancelled", job.file.id)
        with tenant_scope():
            work.finish(claim)  # of a deleted file; what was taken over is another's, and stays
    except SourceFailed as error:
        _end_badly(job, error.message, permanent=error.permanent)
    except QuotaExceeded as error:
        _end_badly(job, error.message, permanent=True)
    except ServiceUnavailable as error:
        _end_badly(job, error.message, permanent=False)
    return 0


def recover(claim: Claim) -> None:
    """Decide about a unit whose worker died: again, or, after the last attempt, failed and dead-lettered."""
    with tenant_scope():
        file = _locked(File.objects.filter(fetch_id=claim.id))
        if file is None:
            work.finish(claim)
        elif file.fetch_attempts < MAX_ATTEMPTS:
            work.retry(claim, delay=timedelta(), reason="the worker died")
        elif work.bury(claim, reason="the worker died"):
            _mark_failed(file, f"The worker died {MAX_ATTEMPTS} times on it.")


def _begin(claim: Claim) -> Job | None:
    """Take the fence; None where nothing is to be done."""
    with tenant_scope():
        file = _locked(File.objects.filter(fetch_id=claim.id))
        if file is None:
            work.finish(claim)
            return None
        if file.fetch_attempts >= MAX_ATTEMPTS:
            if work.bury(claim, reason="too many attempts"):
                _mark_failed(file, f"It failed {MAX_ATTEMPTS} times. {file.status_details}".strip())
            return None
        file.fetch_attempts += 1
        file.fetch_claim = claim.attempt
        file.save(update_fields=["fetch_attempts", "fetch_claim"])
    known = Version(file.source_etag, file.source_modified) if file.status == Status.PROCESSED else None
    return Job(claim, file, known)


def _fetch(job: Job, lease: Lease) -> int:
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spooled:
        content = cast(BinaryIO, spooled)
        limits = Limits(settings.MAX_FILE_BYTES)
        fetched = fetch(job.file.source_url, into=content, limits=limits, known=job.known, check=lease.check)
        if fetched is None or job.knows(fetched):
            _confirm(job, fetched)
            return 0
        content.seek(0)
        stored_id = uuid7()
        key = storage.put(stored_id, content)
    try:
        return _publish(job, fetched, {"content_id": stored_id, "storage_key": key})
    except (LeaseLost, QuotaExceeded):
        storage.delete(stored_id)
        raise


def _publish(job: Job, fetched: Fetched, stored: dict[str, Any]) -> int:
    """The rows say that the bytes are there, what waited for them is queued, and the work ends: all at once.

    Returns:
        How many attachments now wait for a worker that ingests them.
    """
    with tenant_scope():
        file = _ended(job)
        require_room(Limit.STORED_BYTES, fetched.size)
        values = _description(job, fetched) | stored
        if job.known is not None and VectorStoreFile.objects.filter(file=file).exists():
            return _publish_version(file, values)
        if job.known is not None:
            _forget_content(file)
        File.objects.filter(id=file.id).update(**values)
        record(by=SYSTEM, action="file.fetched", target=file, changes={"bytes": fetched.size})
        return begin_waiting(file)


def _publish_version(file: File, values: dict[str, Any]) -> int:
    kept = {"purpose": file.purpose, "source_url": file.source_url, "expires_at": file.expires_at}
    version = File.objects.create(tenant_id=file.tenant_id, **kept, **values)
    record(by=SYSTEM, action="file.fetched", target=version, changes={"bytes": version.bytes, "of": str(file.id)})
    return replace_file(old_file_id=file.id, new_file_id=version.id, by=SYSTEM)


def _forget_content(file: File) -> None:
    """What was read of the bytes goes now, they themselves when that is committed; a crash in between leaves them."""
    Document.objects.filter(file=file).delete()
    tenant_id, stored_id = file.tenant_id, file.stored_id
    transaction.on_commit(lambda: _delete_bytes(tenant_id, stored_id))


def _delete_bytes(tenant_id: UUID, stored_id: UUID) -> None:
    with acting_for(tenant_id):
        try:
            storage.delete(stored_id)
        except storage.StorageUnavailable:
            logger.warning("the bytes %s, which no file has any more, could not be removed", stored_id)


def _description(job: Job, fetched: Fetched) -> dict[str, Any]:
    """The columns that tell of fetched bytes. The server names a file that neither client nor server named before."""
    name = job.file.filename
    if job.known is None and fetched.filename and name == _name_from(parse_target(job.file.source_url)):
        name = fetched.filename
    return {
        "filename": name,
        "mime_type": mime_type_of(name),
        "bytes": fetched.size,
        "sha256": fetched.sha256,
        "status": Status.PROCESSED,
        "status_details": "",
        "fetched_at": Now(),
        **_version(fetched.version),
    }


def _confirm(job: Job, fetched: Fetched | None) -> None:
    """The source still has the same bytes."""
    version = _version(fetched.version) if fetched is not None else {}
    with tenant_scope():
        file = _ended(job)
        File.objects.filter(id=file.id).update(fetched_at=Now(), status_details="", **version)


def _version(version: Version) -> dict[str, str]:
    return {"source_etag": version.etag, "source_modified": version.modified}


def _locked(files: QuerySet[File]) -> File | None:
    """The one file that is meant, locked, and before it the stores that have it."""
    found = files.values_list("id", flat=True).first()
    if found is None:
        return None
    lock_stores_of(found)
    return files.select_for_update(no_key=True).first()


def _fenced(job: Job) -> File | None:
    return _locked(File.objects.filter(fetch_id=job.claim.id, fetch_claim=job.claim.attempt))


def _ended(job: Job) -> File:
    """Lock the file and leave the queue, in the caller's transaction.

    Raises:
        LeaseLost: the file is gone, or another attempt's.
    """
    file = _fenced(job)
    if file is None or not work.finish(job.claim):
        raise LeaseLost
    File.objects.filter(id=file.id).update(fetch_id=None)
    return file


def _end_badly(job: Job, message: str, *, permanent: bool) -> None:
    """Fail with the reason, or wait 5, 15, 45, 135 s for another attempt; after the last it is a dead letter."""
    logger.info("the fetch of %s failed, %s", job.file.id, "for good" if permanent else "for now")
    attempts = job.file.fetch_attempts
    with tenant_scope():
        file = _fenced(job)
        if file is None:
            return
        if permanent:
            if work.finish(job.claim):
                _mark_failed(file, message)
        elif attempts < MAX_ATTEMPTS:
            if work.retry(job.claim, delay=timedelta(seconds=5 * 3 ** (attempts - 1)), reason=message):
                File.objects.filter(id=file.id).update(status_details=message)
        elif work.bury(job.claim, reason=message):
            _mark_failed(file, f"It failed {MAX_ATTEMPTS} times. {message}")


def _mark_failed(file: File, message: str) -> None:
    """A file without bytes is in error, and so is what waits for them; one that has bytes keeps them."""
    rows = File.objects.filter(id=file.id)
    if file.status == Status.PROCESSED:
        rows.update(fetch_id=None, status_details=f"The last refresh failed. {message}")
        return
    rows.update(fetch_id=None, status=Status.ERROR, status_details=message)
    fail_waiting(file, message=f"The file could not be fetched. {message}")
    record(by=SYSTEM, action="file.fetch_failed", target=file)
    emit(type="file.failed", data={"code": "fetch_failed"}, object_id=public_id("file-", file.id))


def shown_url(url: str) -> str:
    """A URL without what may be a secret of it: the query and the fragment."""
    return url.partition("#")[0].partition("?")[0]
