"""A unit of re-embedding: some hundred chunks embedded and written, or the switch, or a step of cleaning.

A unit holds no transaction while it embeds. What it writes, its charge and the next unit are one transaction; a worker
may die anywhere, and the unit runs again. A second wish changes the unit's id: whoever works on the old one writes
nothing more.
"""

import logging
from datetime import UTC, datetime, timedelta

import numpy as np

from billing.prices import UnpricedModel
from billing.reservations import BudgetExhausted, BudgetHeld, release
from tenants import work
from tenants.errors import AtriumError, ServiceUnavailable
from tenants.leases import Lease, LeaseLost, keeping, lease_time
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tenants.work import REEMBEDDING, Claim

from ..ingestion.embedding import unit as unit_length
from ..metering import Hold, Payer, charge, hold_tokens
from ..models import Reembedding, VectorStore
from ..ports import Embedder, SpaceChanged, embedder_for
from .passages import Passages, Place, made_before, next_passages, write
from .requests import State, next_unit
from .switching import clean, switch

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
_EMBEDDED_AT_ONCE = 32
_HOLD = timedelta(minutes=10)
_BUDGET_WAIT = timedelta(seconds=10)


def claim_next(*, worker: str) -> Claim | None:
    """The next unit, by fairness between tenants."""
    return work.claim(REEMBEDDING, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str) -> None:
    """One unit, to its end: written, failed with a reason, or given back to be tried again."""
    row = _begin(claim)
    if row is None:
        return
    try:
        with keeping(claim, worker=worker) as lease:
            _step(claim, row, lease)
    except LeaseLost:
        logger.info("re-embedding of %s was taken over or replaced", row.store_id)
    except BudgetHeld as error:
        _give_back(claim, delay=_BUDGET_WAIT, reason=error.message)
    except ServiceUnavailable as error:
        if row.attempts < MAX_ATTEMPTS:
            _give_back(claim, delay=timedelta(seconds=2**row.attempts), reason=error.message, counts=True)
        else:
            _fail(claim, error.message)
    except (BudgetExhausted, UnpricedModel) as error:
        _fail(claim, error.message)
    except AtriumError as error:
        # The embedder's source refuses: the model was withdrawn from the tenant, or replaced by another version.
        _fail(claim, error.message)


def recover(claim: Claim) -> None:
    """A unit whose worker died: again, or, after the last attempt, failed."""
    with tenant_scope():
        row = _fenced(claim)
        if row is None:
            work.finish(claim)
        elif row.attempts < MAX_ATTEMPTS:
            work.retry(claim, delay=timedelta(), reason="the worker died")
        else:
            _fail(claim, f"The worker died {MAX_ATTEMPTS} times.")


def _fenced(claim: Claim) -> Reembedding | None:
    return Reembedding.objects.select_related("space").filter(unit_id=claim.id).first()


def _begin(claim: Claim) -> Reembedding | None:
    """Count the attempt and release what a dead worker held; None where the unit is nobody's any more."""
    with tenant_scope():
        row = _fenced(claim)
        if row is None or row.state == State.FAILED:
            work.finish(claim)
            return None
        if row.reservation_id is not None:
            release(row.reservation_id)
        row.attempts, row.reservation_id = row.attempts + 1, None
        row.save(update_fields=["attempts", "reservation_id"])
        return row


def _step(claim: Claim, row: Reembedding, lease: Lease) -> None:
    if row.state == State.CLEANING:
        _clean(claim)
        return
    embedder = embedder_for(row.embedding_model)
    if embedder.space != row.space.name:
        raise SpaceChanged(row.space.name)
    with tenant_scope():
        store = VectorStore.objects.filter(id=row.store_id).first()
        if store is None:
            raise LeaseLost
        passages = next_passages(row, store.space_id, embedder)
        before = made_before(row, passages) if passages.chunks else {}
    if passages.chunks:
        _embed(claim, row, passages, before, embedder, lease)
    else:
        _switch(claim)


def _embed(
    claim: Claim,
    row: Reembedding,
    passages: Passages,
    before: dict[Place, np.ndarray],
    embedder: Embedder,
    lease: Lease,
) -> None:
    texts = passages.texts()
    there = {place: before[key] for place in texts if (key := (place[0], place[1].start, place[1].end)) in before}
    distinct = sorted({text for place, text in texts.items() if place not in there}, key=len)
    hold = _hold(claim, row, sum(embedder.count_tokens(text) for text in distinct))
    try:
        made: dict[str, np.ndarray] = {}
        for start in range(0, len(distinct), _EMBEDDED_AT_ONCE):
            lease.check()
            batch = distinct[start : start + _EMBEDDED_AT_ONCE]
            made |= zip(batch, unit_length(embedder.embed(batch)), strict=True)
        with tenant_scope():
            locked, _ = _locked(claim)
            new = {place: made[text] for place, text in texts.items() if place not in there}
            locked.chunks_done += write(locked, passages, there | new)
            locked.cursor = passages.cursor
            charge(hold, attempt=claim.attempt)
            next_unit(locked)
            _finish(claim)
    except LeaseLost:
        # The row may be gone with its store: nobody else knows of the hold.
        release(hold.reservation_id)
        raise


def _hold(claim: Claim, row: Reembedding, tokens: int) -> Hold:
    with tenant_scope() as tenant_id:
        payer = Payer(row.key_id, Tenant.objects.values_list("currency", flat=True).get(id=tenant_id))
        hold = hold_tokens(
            payer=payer, request_id=claim.id, operation="reembedding", model=row.embedding_model, tokens=tokens,
            lease=_HOLD, now=datetime.now(UTC),
        )  # fmt: skip
        if not Reembedding.objects.filter(unit_id=claim.id).update(reservation_id=hold.reservation_id):
            raise LeaseLost
    return hold


def _switch(claim: Claim) -> None:
    with tenant_scope():
        row, store = _locked(claim)
        switch(row, store)
        _finish(claim)


def _clean(claim: Claim) -> None:
    with tenant_scope():
        row, store = _locked(claim)
        if clean(row, store):
            _finish(claim)
        else:
            work.retry(claim, delay=timedelta(), reason="")


def _locked(claim: Claim) -> tuple[Reembedding, VectorStore]:
    """The unit's row and its store, the store locked first, as everywhere.

    Raises:
        LeaseLost: the unit is nobody's any more; the caller's transaction must be undone.
    """
    found = Reembedding.objects.filter(unit_id=claim.id).first()
    stores = VectorStore.objects.select_for_update(no_key=True)
    store = stores.filter(id=found.store_id).first() if found is not None else None
    row = Reembedding.objects.select_for_update().filter(unit_id=claim.id).first()
    if row is None or store is None:
        raise LeaseLost
    return row, store


def _finish(claim: Claim) -> None:
    if not work.finish(claim):
        raise LeaseLost


def _give_back(claim: Claim, *, delay: timedelta, reason: str, counts: bool = False) -> None:
    with tenant_scope():
        row = Reembedding.objects.select_for_update().filter(unit_id=claim.id).first()
        if row is not None and work.retry(claim, delay=delay, reason=reason):
            _release(row)
            row.attempts -= 0 if counts else 1
            row.error_message = reason
            row.save()


def _fail(claim: Claim, reason: str) -> None:
    """The space before goes on serving; asking again goes on from here."""
    logger.info("re-embedding failed: %s", reason)
    with tenant_scope():
        row = Reembedding.objects.select_for_update().filter(unit_id=claim.id).first()
        if row is not None and work.finish(claim):
            _release(row)
            row.state, row.error_message = State.FAILED, reason
            row.save()


def _release(row: Reembedding) -> None:
    if row.reservation_id is not None:
        release(row.reservation_id)
        row.reservation_id = None
