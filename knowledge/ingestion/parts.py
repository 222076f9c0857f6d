"""Long documents in parts of bounded work, which workers claim by fairness like any other unit.

A run that finds a document long writes its parts and parks the document's own unit. Each part ends in one transaction
with its claim; the one that finds no other left queues the document's unit again, and that run goes on from what the
parts have left: from their text, or from their vectors. A worker that dies costs the part that it had.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tenants import work
from tenants.ids import uuid7
from tenants.leases import Lease, LeaseLost
from tenants.scope import tenant_scope

from .. import storage
from ..chunking import Span
from ..models import File, IngestionPart, VectorStoreFile
from ..parsing.reading import parse_pages
from . import documents
from .documents import Text
from .embedding import embed
from .holds import hold, release_hold, renew_hold
from .preparing import prepare
from .progress import CHUNKED, EMBEDDED, PARSED, PARTS_READ, between
from .sources import embedder_of
from .units import ENDED, Job, Part, State, fenced, lock

Kind = IngestionPart.Kind
Place = tuple[int, int]
_ROWS_AT_ONCE = 8  # with their texts, some megabytes


def place(span: Span) -> Place:
    """Where a passage stands, whoever counted its tokens."""
    return span.start, span.end


def split_reading(job: Job, ranges: Sequence[tuple[int, int]]) -> int:
    """Leave the pages to be read in parts; returns how many units that put on the queue.

    Raises:
        BeingRead: another attachment does.
    """
    rows = [
        IngestionPart(id=uuid7(), store_file_id=job.id, kind=Kind.READ, number=number, first=first, last=last)
        for number, (first, last) in enumerate(ranges)
    ]
    with tenant_scope():
        lock(job)
        # Attachments of one file meet here: the second sees the parts of the first.
        File.objects.select_for_update(no_key=True).filter(id=job.file.id).values("id").first()
        others = IngestionPart.objects.filter(store_file__file=job.file, kind=Kind.READ)
        if others.exclude(store_file=job.id).exists():
            raise documents.BeingRead
        return _park(job, rows, state=State.PARSING, percent=PARSED, pages_total=ranges[-1][1], pages_done=0)


def split_embedding(
    job: Job, text: Text, missing: Sequence[tuple[Span, str]], size: int, *, embedded_before: int
) -> int:
    """Hold what embedding costs and leave it to parts of `size` passages; returns how many units that put on the queue.

    `embedded_before` are the tokens that earlier parts of this job have embedded.
    """
    with tenant_scope():
        lock(job)
        documents.keep(job, text)
        IngestionPart.objects.filter(store_file=job.id, kind=Kind.READ).delete()
        number = IngestionPart.objects.filter(store_file=job.id).count()
        release_hold(job)
        tokens = embedded_before + sum(span.tokens for span, _ in missing)
        held = hold(job, tokens, ocr_pages=text.document.ocr_pages)
        rows = [
            IngestionPart(id=uuid7(), store_file_id=job.id, kind=Kind.EMBED, number=number + start, passages=passages)
            for start, passages in enumerate(_cut(missing, size))
        ]
        percent = max(CHUNKED, job.percent)
        return _park(job, rows, state=State.EMBEDDING, percent=percent, reservation_id=held.reservation_id)


def _cut(passages: Sequence[tuple[Span, str]], size: int) -> Iterator[list[list[Any]]]:
    for start in range(0, len(passages), size):
        yield [[span.start, span.end, span.tokens, words] for span, words in passages[start : start + size]]


def _park(job: Job, rows: Sequence[IngestionPart], **values: Any) -> int:
    for row in rows:
        row.tenant_id = job.claim.tenant_id
    IngestionPart.objects.bulk_create(rows, batch_size=_ROWS_AT_ONCE)
    work.enqueue_beside(job.claim, [row.id for row in rows])
    # The way so far is behind it: the cap on attempts is for each stretch.
    fenced(job).update(parts_left=len(rows), attempts=0, **values)
    if not work.park(job.claim):
        raise LeaseLost
    return len(rows)


def run_part(part: Part, lease: Lease) -> int:
    """Read or embed a part; returns how many units that put on the queue."""
    if part.kind == Kind.READ:
        read = parse_pages(storage.read(part.file.stored_id), part.file.filename, first=part.first, last=part.last)
        document = prepare(read, part.store)
        return _finish(part, pages=part.last - part.first + 1, result=documents.result_of(document))
    vectors = embed([words for _, words in part.passages], embedder_of(part.store), lease)
    return _finish(part, vectors=vectors.tobytes(), result={"space": part.store.space.name})


def _finish(part: Part, *, pages: int = 0, **result: Any) -> int:
    """Write the part's result, and queue its document again where it was the last; 1 then."""
    with tenant_scope() as tenant_id:
        # The document first, as whoever deletes it does.
        attachment = VectorStoreFile.objects.select_for_update().filter(id=part.attachment_id).first()
        mine = IngestionPart.objects.filter(id=part.id, claim=part.claim.attempt, done=False)
        if attachment is None or attachment.state in ENDED or not mine.update(done=True, **result):
            raise LeaseLost
        attachment.parts_left -= 1
        attachment.attempts = 0
        attachment.pages_done += pages
        attachment.percent = max(attachment.percent, _percent(part, attachment.parts_left))
        attachment.save(update_fields=["parts_left", "attempts", "pages_done", "percent"])
        if attachment.reservation_id is not None:
            renew_hold(attachment.reservation_id)
        if not work.finish(part.claim):
            raise LeaseLost
        return int(attachment.parts_left == 0 and work.unpark(tenant_id, attachment.id))


def _percent(part: Part, left: int) -> int:
    total = IngestionPart.objects.filter(store_file=part.attachment_id, kind=part.kind).count()
    start, end = (PARSED, PARTS_READ) if part.kind == Kind.READ else (PARTS_READ, EMBEDDED)
    return between(start, end, total - left, total)


def vectors_of_parts(job: Job) -> tuple[dict[Place, np.ndarray], int]:
    """Vectors by (start, end) that the job's parts have made in its store's space, and the tokens they embedded.

    A store may be re-embedded meanwhile: what a part made for its space before is made again.
    """
    if not job.has_parts:
        return {}, 0
    vectors: dict[Place, np.ndarray] = {}
    tokens = 0
    with tenant_scope():
        rows = IngestionPart.objects.filter(store_file=job.id, kind=Kind.EMBED, result__space=job.store.space.name)
        # Part by part: together their texts are the document once more.
        for passages, raw in rows.values_list("passages", "vectors").iterator(chunk_size=1):
            matrix = np.frombuffer(raw or b"", np.float32).reshape(len(passages), -1)
            vectors |= {(row[0], row[1]): vector for row, vector in zip(passages, matrix, strict=True)}
            tokens += sum(row[2] for row in passages)
    return vectors, tokens
