"""The bytes of files, in the object store; nothing else touches it.

Keys are `tenants/<tenant id>/files/<file id>`, made here from the current tenant: no caller can name another's.
"""

from typing import BinaryIO
from uuid import UUID

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.core.files.storage import default_storage
from storages.backends.s3 import S3Storage

from tenants.errors import ServiceUnavailable
from tenants.scope import current_tenant

_AWAY = (OSError, Boto3Error, BotoCoreError, ClientError)


class StorageUnavailable(ServiceUnavailable):
    """The object store is away for the moment."""


class ContentMissing(Exception):
    """A file's row exists, its bytes do not."""


def key_of(file_id: UUID) -> str:
    """Where the bytes of the current tenant's file lie."""
    return f"tenants/{current_tenant()}/files/{file_id}"


def put(file_id: UUID, content: BinaryIO) -> str:
    """Store a new file's bytes; returns its key.

    Raises:
        StorageUnavailable: try again.
    """
    try:
        return default_storage.save(key_of(file_id), File(content))
    except _AWAY as error:
        raise StorageUnavailable("The file store is away for the moment. Try again shortly.") from error


def open_file(file_id: UUID) -> File:
    """A file's bytes as a readable file, for the caller to close.

    Raises:
        ContentMissing: there are none.
        StorageUnavailable: try again.
    """
    try:
        return default_storage.open(key_of(file_id), "rb")
    except FileNotFoundError as error:
        raise ContentMissing(str(file_id)) from error
    except _AWAY as error:
        raise StorageUnavailable("The file store is away for the moment. Try again shortly.") from error


def read(file_id: UUID) -> bytes:
    """All of a file's bytes; raises as `open_file` does."""
    with open_file(file_id) as file:
        try:
            return file.read()
        except _AWAY as error:
            raise StorageUnavailable("The file store is away for the moment. Try again shortly.") from error


def read_part(file_id: UUID, *, start: int, length: int) -> bytes:
    """At most `length` of a file's bytes from `start` on, which lies inside it; of a file in S3 no more is fetched.

    Raises:
        ContentMissing, StorageUnavailable: as `open_file`.
    """
    if not isinstance(default_storage, S3Storage):
        with open_file(file_id) as file:
            file.seek(start)
            return file.read(length)
    try:
        key = default_storage._normalize_name(key_of(file_id))
        answer = default_storage.bucket.Object(key).get(Range=f"bytes={start}-{start + length - 1}")
        return answer["Body"].read()
    except _AWAY as error:
        if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise ContentMissing(str(file_id)) from error
        raise StorageUnavailable("The file store is away for the moment. Try again shortly.") from error


def delete(file_id: UUID) -> None:
    """Remove a file's bytes, if there are any.

    Raises:
        StorageUnavailable: try again.
    """
    try:
        default_storage.delete(key_of(file_id))
    except _AWAY as error:
        raise StorageUnavailable("The file store is away for the moment. Try again shortly.") from error


def exists(file_id: UUID) -> bool:
    """Whether the current tenant's file has bytes."""
    return default_storage.exists(key_of(file_id))
