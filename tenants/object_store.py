"""The object store: bytes under names, on the local disk or in a bucket, by setting.

Names are made by the modules that keep something here, one for each kind of content, always from the current tenant
(`tenant_name`), so that no caller can name another's.
"""

from typing import BinaryIO

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.core.files.storage import default_storage
from storages.backends.s3 import S3Storage

from .errors import ServiceUnavailable
from .scope import current_tenant

_AWAY = (OSError, Boto3Error, BotoCoreError, ClientError)
_SAY_AWAY = "The file store is away for the moment. Try again shortly."


class StorageUnavailable(ServiceUnavailable):
    """The object store is away for the moment."""


class ContentMissing(Exception):
    """There are no bytes under this name."""


def tenant_name(kind: str, ident: object) -> str:
    """The name of something that the current tenant keeps, such as `files/<id>`."""
    return f"tenants/{current_tenant()}/{kind}/{ident}"


def put(name: str, content: BinaryIO) -> str:
    """Store new bytes; returns the name under which they lie.

    Raises:
        StorageUnavailable: try again.
    """
    try:
        return default_storage.save(name, File(content))
    except _AWAY as error:
        raise StorageUnavailable(_SAY_AWAY) from error


def open_content(name: str) -> File:
    """Bytes as a readable file, for the caller to close.

    Raises:
        ContentMissing: there are none.
        StorageUnavailable: try again.
    """
    try:
        return default_storage.open(name, "rb")
    except FileNotFoundError as error:
        raise ContentMissing(name) from error
    except _AWAY as error:
        raise StorageUnavailable(_SAY_AWAY) from error


def read(name: str) -> bytes:
    """All of the bytes; raises as `open_content` does."""
    with open_content(name) as file:
        try:
            return file.read()
        except _AWAY as error:
            raise StorageUnavailable(_SAY_AWAY) from error


def read_part(name: str, *, start: int, length: int) -> bytes:
    """At most `length` bytes from `start` on, which lies inside them; from S3 no more is fetched.

    Raises:
        ContentMissing, StorageUnavailable: as `open_content`.
    """
    if not isinstance(default_storage, S3Storage):
        with open_content(name) as file:
            file.seek(start)
            return file.read(length)
    try:
        key = default_storage._normalize_name(name)
        answer = default_storage.bucket.Object(key).get(Range=f"bytes={start}-{start + length - 1}")
        return answer["Body"].read()
    except _AWAY as error:
        if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise ContentMissing(name) from error
        raise StorageUnavailable(_SAY_AWAY) from error


def delete(name: str) -> None:
    """Remove the bytes, if there are any.

    Raises:
        StorageUnavailable: try again.
    """
    try:
        default_storage.delete(name)
    except _AWAY as error:
        raise StorageUnavailable(_SAY_AWAY) from error


def exists(name: str) -> bool:
    """Whether there are bytes under this name."""
    return default_storage.exists(name)
