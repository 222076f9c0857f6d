"""What a claim stands for, a whole attachment or a part of a long one, and the fence that guards what it writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from tenants.leases import LeaseLost
from tenants.work import Claim

from ..chunking import Span
from ..metering import Payer
from ..models import File, VectorStore, VectorStoreFile

State = VectorStoreFile.State
ENDED = (State.COMPLETED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Job:
    """An attachment to be ingested, as it was when the run began; `store` comes with its space.

    `older` are attachments whose vectors may serve again: the one that this replaces, others of the same file. `alone`:
    nothing runs beside it in its process, see `company`.
    """

    claim: Claim
    store: VectorStore
    file: File
    chunking: dict[str, int]
    payer: Payer
    attempts: int
    percent: int
    has_twin: bool
    has_document: bool
    has_parts: bool
    older: Sequence[UUID] = ()
    alone: bool = False

    @property
    def id(self) -> UUID:
        """The attachment's id, which is also its work's and the request's that the ledger names."""
        return self.claim.id


@dataclass(frozen=True)
class Part:
    """A part of a long document, as it was when the run began; see `models.IngestionPart`."""

    claim: Claim
    attachment_id: UUID
    store: VectorStore
    file: File
    kind: str
    first: int
    last: int
    passages: Sequence[tuple[Span, str]]
    attempts: int
    alone: bool = False

    @property
    def id(self) -> UUID:
        """The part's id, which is also its work's."""
        return self.claim.id


def twins(*, sha256: Any, mime_type: Any, chunking: Any, space: Any, preparation: Any) -> QuerySet[VectorStoreFile]:
    """Completed attachments of the same content, prepared, cut and embedded the same way, that still have their chunks; by
    values or references to them.
    """
    return VectorStoreFile.objects.filter(
        file__sha256=sha256,
        file__mime_type=mime_type,  # by the name, which decides how text is read
        chunking=chunking,
        store__space=space,
        store__preparation=preparation,
        store__deleted_at=None,
        store__expired_at=None,
        state=State.COMPLETED,
        chunk_count__gt=0,
    )


def fenced(job: Job) -> QuerySet[VectorStoreFile]:
    """The job's attachment, unless a later attempt has it."""
    return VectorStoreFile.objects.filter(id=job.id, claim=job.claim.attempt)


class SpaceSwitched(Exception):
    """The store was re-embedded while this run embedded for its space before; the run begins anew."""


def lock(job: Job) -> VectorStoreFile:
    """Lock the store and the attachment, in this order always; returns the attachment.

    Raises:
        LeaseLost: the attachment is gone, or another attempt's.
        SpaceSwitched: what this run embedded is of no use any more.
    """
    stores = VectorStore.objects.select_for_update(no_key=True).filter(id=job.store.id)
    space_id = stores.values_list("space_id", flat=True).first()
    attachment = fenced(job).select_for_update().first()
    if space_id is None or attachment is None:
        raise LeaseLost
    if space_id != job.store.space_id:
        raise SpaceSwitched
    return attachment
