"""Files: uploaded, listed, read, deleted. Bytes are written before the row says that they are there and removed after
it is gone, so that a processed file always has its bytes; a crash in between leaves bytes that no row names, never the
reverse. A file from a URL is `uploaded` until its bytes came; see `sources.remote_files`.
"""

import mimetypes
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.core.files import File as Content
from django.db.models import QuerySet

from billing.limits.quotas import QuotaExceeded, require_room
from billing.models import Limit
from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.scope import current_tenant, tenant_scope

from . import storage
from .access import files_known_to
from .attributes import storable
from .deletion import mark_file
from .models import UNEXPIRED, File
from .removal import remove_everywhere

PURPOSES = ("assistants", "user_data", "fine-tune", "batch", "evals", "vision")
MIN_LIFETIME, MAX_LIFETIME = timedelta(hours=1), timedelta(days=30)
_READ_BYTES = 1024 * 1024


class FileTooLarge(AtriumError):
    """More bytes than one file may have."""

    status = 413
    type = "invalid_request_error"
    code = "file_too_large"

    def __init__(self, size: int) -> None:
        limit = settings.MAX_FILE_BYTES
        super().__init__(
            f"The file has {size:,} bytes; the limit is {limit:,}. Split it and upload the parts.",
            param="file",
            data={"limit": limit, "used": size},
        )


class FileNotReady(AtriumError):
    """The bytes of a file from a URL are not there yet."""

    status = 409
    type = "invalid_request_error"
    code = "file_not_ready"


@dataclass(frozen=True)
class Upload:
    """What a client sends: a name, the bytes and their number."""

    filename: str
    content: BinaryIO
    size: int


def check_size(size: int) -> None:
    """Refuse what is too large, before it is read where its length is announced.

    Raises:
        FileTooLarge: beyond `MAX_FILE_BYTES`.
    """
    if size > settings.MAX_FILE_BYTES:
        raise FileTooLarge(size)


def create_file(*, upload: Upload, purpose: str, by: Actor, now: datetime, lifetime: timedelta | None = None) -> File:
    """Store an upload as a file of the current tenant.

    Raises:
        InvalidRequest: empty, a bad name, an unknown purpose or a lifetime out of range.
        FileTooLarge: beyond `MAX_FILE_BYTES`.
        QuotaExceeded: beyond what the plan lets the tenant store.
        StorageUnavailable: try again.
    """
    check_description(purpose=purpose, filename=upload.filename, lifetime=lifetime)
    if upload.size == 0:
        raise InvalidRequest("The file is empty.", param="file")
    check_size(upload.size)
    file = File(
        id=uuid7(),
        purpose=purpose,
        filename=upload.filename,
        bytes=upload.size,
        mime_type=mime_type_of(upload.filename),
        sha256=digest_of(upload.content),
        # Clients wait for "processed"; the bytes are all there, and what reads them reports on its own object.
        status=File.Status.PROCESSED,
        expires_at=now + lifetime if lifetime is not None else None,
    )
    with tenant_scope():
        require_room(Limit.STORED_BYTES, upload.size)
    file.storage_key = storage.put(file.id, upload.content)
    try:
        _insert(file, by=by)
    except QuotaExceeded:  # another upload was faster
        storage.delete(file.id)
        raise
    return file


def _insert(file: File, *, by: Actor) -> None:
    with tenant_scope() as tenant_id:
        require_room(Limit.STORED_BYTES, file.bytes)
        file.tenant_id = tenant_id
        file.save(force_insert=True)
        file.refresh_from_db(fields=["created_at"])
        record(by=by, action="file.created", target=file, changes={"bytes": file.bytes, "purpose": file.purpose})


def keep_output(
    *,
    file_id: UUID,
    filename: str,
    content: BinaryIO,
    size: int,
    purpose: str,
    made_with: Collection[str],
    expires_at: datetime | None,
) -> File:
    """Store what Atrium itself wrote, such as a batch's answers; the row is the caller's to save, in its transaction.

    Args:
        file_id: a new one for each attempt: bytes are never overwritten, and those of an attempt that died are nobody's.
        purpose: such as `batch_output`; uploads cannot have it.
        made_with: the groups of the caller for whom it was made.

    Raises:
        StorageUnavailable: try again.
    """
    return File(
        id=file_id,
        tenant_id=current_tenant(),
        purpose=purpose,
        filename=filename,
        bytes=size,
        mime_type=mime_type_of(filename),
        sha256=digest_of(content),
        storage_key=storage.put(file_id, content),
        status=File.Status.PROCESSED,
        expires_at=expires_at,
        made_with=sorted(made_with),
    )


def mime_type_of(filename: str) -> str:
    """What a name says about the content."""
    return (mimetypes.guess_type(filename)[0] or "application/octet-stream")[:127]


def check_description(*, purpose: str, filename: str, lifetime: timedelta | None, param: str = "file") -> None:
    """What is said about a file; `param` is the request's parameter that names it.

    Raises:
        InvalidRequest: an unknown purpose, a bad name or a lifetime out of range.
    """
    if purpose not in PURPOSES:
        raise InvalidRequest(f"Invalid 'purpose': must be one of {', '.join(PURPOSES)}.", param="purpose")
    if not 0 < len(filename) <= 255 or not storable(filename):
        raise InvalidRequest(f"Invalid '{param}': its name must have 1 to 255 characters.", param=param)
    if PurePath(filename).name != filename:
        raise InvalidRequest(f"Invalid '{param}': its name must not be a path.", param=param)
    if lifetime is not None and not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
        raise InvalidRequest(
            "Invalid 'expires_after[seconds]': must be from 3600 (1 hour) to 2592000 (30 days).",
            param="expires_after[seconds]",
        )


def digest_of(content: BinaryIO) -> str:
    """The SHA-256 of all of it, in hexadecimal digits; it is then at its beginning again."""
    digest = sha256()
    content.seek(0)
    while part := content.read(_READ_BYTES):
        digest.update(part)
    content.seek(0)
    return digest.hexdigest()


def current_files(*, sight: Collection[str] | None = None) -> QuerySet[File]:
    """The current tenant's files that have not expired and of which the caller may know; evaluate inside a scope.

    Args:
        sight: the groups that the caller is limited to, if it is (`access.files_known_to`).
    """
    return File.objects.filter(UNEXPIRED, files_known_to(sight))


def get_file(*, file_id: UUID | None, sight: Collection[str] | None = None) -> File:
    """A file of the current tenant.

    Raises:
        NotFound: missing, expired, another tenant's, or kept from the caller.
    """
    with tenant_scope():
        file = current_files(sight=sight).filter(id=file_id).first() if file_id else None
    if file is None:
        raise NotFound("No such File object.", param="id")
    return file


def open_content(*, file_id: UUID | None, sight: Collection[str] | None = None) -> tuple[File, Content]:
    """A file and its bytes, for the caller to close.

    Raises:
        NotFound: as `get_file`; or its bytes never came.
        FileNotReady: it is still being fetched.
        StorageUnavailable: try again.
    """
    file = get_file(file_id=file_id, sight=sight)
    if file.status == File.Status.UPLOADED:
        raise FileNotReady("The file is still being fetched. Its status says when it is there.", param="id")
    if file.status == File.Status.ERROR:
        raise NotFound(f"The file could not be fetched: {file.status_details}", param="id")
    try:
        return file, storage.open_file(file.stored_id)
    except storage.ContentMissing as error:
        raise NotFound("The content of this file is gone.", param="id") from error


def download(*, file_id: UUID, by: Actor) -> tuple[File, Content]:
    """As `open_content`, for a person at the desk: who took a file away is on record."""
    file, content = open_content(file_id=file_id)
    with tenant_scope():
        record(by=by, action="file.downloaded", target=file)
    return file, content


def delete_file(*, file_id: UUID | None, by: Actor, sight: Collection[str] | None = None) -> File:
    """Delete a file with all that was made of it in every store; its bytes are removed once that is committed.

    Raises:
        NotFound: missing, another tenant's, or kept from the caller.
    """
    file = get_file(file_id=file_id, sight=sight)
    with tenant_scope():
        remove_everywhere(file)
        mark_file(file, by=by)
    return file
