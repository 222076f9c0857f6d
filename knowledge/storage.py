"""The bytes of files, in the object store; nothing else touches them.

Names are `tenants/<tenant id>/files/<file id>`, made here from the current tenant: no caller can name another's.
"""

from typing import BinaryIO
from uuid import UUID

from django.core.files import File

from tenants import object_store
from tenants.object_store import ContentMissing, StorageUnavailable

__all__ = [
    "ContentMissing",
    "StorageUnavailable",
    "delete",
    "exists",
    "key_of",
    "open_file",
    "put",
    "read",
    "read_part",
]


def key_of(file_id: UUID) -> str:
    """Where the bytes of the current tenant's file lie."""
    return object_store.tenant_name("files", file_id)


def put(file_id: UUID, content: BinaryIO) -> str:
    """Store a new file's bytes; returns its key. Raises as `object_store.put`."""
    return object_store.put(key_of(file_id), content)


def open_file(file_id: UUID) -> File:
    """A file's bytes as a readable file, for the caller to close. Raises as `object_store.open_content`."""
    return object_store.open_content(key_of(file_id))


def read(file_id: UUID) -> bytes:
    """All of a file's bytes; raises as `open_file` does."""
    return object_store.read(key_of(file_id))


def read_part(file_id: UUID, *, start: int, length: int) -> bytes:
    """At most `length` of a file's bytes from `start` on, which lies inside it. Raises as `open_file` does."""
    return object_store.read_part(key_of(file_id), start=start, length=length)


def delete(file_id: UUID) -> None:
    """Remove a file's bytes, if there are any. Raises as `object_store.delete`."""
    object_store.delete(key_of(file_id))


def exists(file_id: UUID) -> bool:
    """Whether the current tenant's file has bytes."""
    return object_store.exists(key_of(file_id))
