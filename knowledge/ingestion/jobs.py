"""A run's job: the attachment it works on, and the fence that keeps a run that was taken over from writing."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from tenants.work import Claim

from ..metering import Payer
from ..models import File, VectorStore, VectorStoreFile
from .leases import LeaseLost

State = VectorStoreFile.State


@dataclass(frozen=True)
class Job:
    """An attachment to be ingested, as it was when the run began."""

    claim: Claim
    store_id: UUID
    file: File
    chunking: dict[str, int]
    space_id: UUID
    space: str
    embedding_model: str
    payer: Payer
    attempts: int
    has_twin: bool

    @property
    def id(self) -> UUID:
        """The attachment's id, which is also its work's and the request's that the ledger names."""
        return self.claim.id


def twins(file: File, chunking: dict[str, int], space_id: UUID) -> QuerySet[VectorStoreFile]:
    """Completed attachments of the same content, cut and embedded the same way, that still have their chunks."""
    return VectorStoreFile.objects.filter(
        file__sha256=file.sha256,
        file__mime_type=file.mime_type,  # by the name, which decides how text is read
        chunking=chunking,
        store__space_id=space_id,
        store__deleted_at=None,
        store__expired_at=None,
        state=State.COMPLETED,
        chunk_count__gt=0,
    )


def fenced(job: Job) -> QuerySet[VectorStoreFile]:
    return VectorStoreFile.objects.filter(id=job.id, claim=job.claim.attempt)


class SpaceSwitched(Exception):
    """The store was re-embedded while this run embedded for its space before; the run begins anew."""


def lock(job: Job) -> VectorStoreFile:
    """Lock the store and the attachment, in this order always; returns the attachment.

    Raises:
        LeaseLost: the attachment is gone, or another attempt's.
        SpaceSwitched: what this run embedded is of no use any more.
    """
    store = VectorStore.objects.select_for_update(no_key=True).filter(id=job.store_id).first()
    attachment = fenced(job).select_for_update().first()
    if store is None or attachment is None:
        raise LeaseLost
    if store.space_id != job.space_id:
        raise SpaceSwitched
    return attachment
