"""Whose a store or a file is: what the desk does with one, it does on behalf of its tenant, staff too."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from uuid import UUID

from tenants.scope import acting_for, is_staff, tenant_scope

from ..files import current_files
from ..models import File, VectorStore


def _seen() -> AbstractContextManager[object]:
    """What this visitor may see: everything for staff, a tenant's rows inside its scope."""
    return nullcontext() if is_staff() else tenant_scope()


def store_or_none(store_id: UUID) -> VectorStore | None:
    """A store that the visitor may see."""
    with _seen():
        return VectorStore.objects.filter(id=store_id).first()


def file_or_none(file_id: UUID) -> File | None:
    """A file that the visitor may see."""
    with _seen():
        return current_files().filter(id=file_id).first()


@contextmanager
def acting_for_owner(row: File | VectorStore) -> Iterator[None]:
    """For the tenant of a row, in its scope: give out values, not queries."""
    with acting_for(row.tenant_id), tenant_scope():
        yield
