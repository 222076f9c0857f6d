"""The driver of a batch: one step after the other, each of which can run twice, until the batch has ended.

A step holds the batch's claim and no transaction. Between two it is `delayed`, for as long as half of what is under way
should take; the line that ends last wakes it (`sql/batches.sql`).
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q

from tenants import work
from tenants.audit import SYSTEM, record
from tenants.errors import ServiceUnavailable
from tenants.ids import public_id
from tenants.leases import LeaseLost, keeping, lease_time
from tenants.scope import tenant_scope
from tenants.webhooks import emit
from tenants.work import Claim

from .. import generations
from ..models import Batch, BatchLine, Generation
from .feeding import feed
from .input_file import InputFile, InputGone
from .results import save_results, write_results
from .validation import validate

logger = logging.getLogger(__name__)
State = Batch.State

PREFIX = "batch_"
#: Lines under way at once: at least so many, and more where they end faster than the driver comes by.
WINDOW, MOST_WINDOW = 200, 1000
MAX_FAILURES = 5
_SHORTEST, _LONGEST = 1.0, 15.0
#: How long the sweep may take to wake a driver whose time has come.
_SWEEP_SECONDS = 4.0
_ENDED = (State.COMPLETED, State.FAILED, State.EXPIRED, State.CANCELLED)


def claim_next(*, worker: str) -> Claim | None:
    """The next batch to drive by fairness between tenants; the edge then acts for its tenant."""
    return work.claim(work.BATCHES, worker=worker, lease=lease_time())


def drive(claim: Claim, *, worker: str, now: datetime) -> None:
    """One step of the batch that `claim` stands for."""
    with tenant_scope():
        batch = Batch.objects.filter(id=claim.id).first()
        if batch is None or batch.state in _ENDED:
            work.finish(claim)
            return
    try:
        with keeping(claim, worker=worker) as lease:
            delay = _Step(claim, batch, now, lease.check).run()
    except LeaseLost:
        logger.info("another worker drives the batch %s", claim.id)
    except ServiceUnavailable as error:
        _pause(claim, 5.0, error.message)
    except Exception:
        logger.exception("a step of the batch %s broke", claim.id)
        stumble(claim, now=now)
    else:
        if delay is not None:
            _pause(claim, delay, "")


def stumble(claim: Claim, *, now: datetime) -> None:
    """A step broke, or its worker died: again a little later, or, after some in a row, the batch has failed."""
    with tenant_scope():
        batch = Batch.objects.select_for_update().filter(id=claim.id).first()
        if batch is None or batch.state in _ENDED:
            work.finish(claim)
        elif batch.failures + 1 < MAX_FAILURES:
            if work.retry(claim, delay=timedelta(seconds=2 * 3**batch.failures), reason="a step broke"):
                Batch.objects.filter(id=batch.id).update(failures=F("failures") + 1)
        elif work.finish(claim):
            message = "The batch could not be processed. Quote its id when reporting it."
            error = {"code": "server_error", "line": None, "message": message, "param": None}
            Batch.objects.filter(id=batch.id).update(state=State.FAILED, failed_at=now, errors=[error])
            BatchLine.objects.filter(batch=batch).delete()
            _tell(batch, "failed", {"code": "server_error"})


def _pause(claim: Claim, seconds: float, reason: str) -> None:
    with tenant_scope():
        work.retry(claim, delay=timedelta(seconds=seconds), reason=reason)


class _Step:
    """What a driver does before it pauses; the methods that take it on return the seconds until the next step."""

    def __init__(self, claim: Claim, batch: Batch, now: datetime, check: Callable[[], None]) -> None:
        self._claim, self._batch, self._now, self._check = claim, batch, now, check

    def run(self) -> float | None:
        """None: the batch has ended."""
        if self._batch.state == State.VALIDATING and (errors := self._validate()):
            return self._fail(errors)
        if self._batch.state == State.IN_PROGRESS and not self._is_over():
            try:
                return self._go_on()
            except InputGone:
                self._batch.errors = [_gone()]
        if self._is_over():
            return self._stop()
        return self._write(State.COMPLETED)

    def _is_over(self) -> bool:
        """Whether lines that have not begun shall not begin any more."""
        batch = self._batch
        return bool(batch.errors) or batch.state == State.CANCELLING or self._now >= batch.expires_at

    def _validate(self) -> list[dict[str, Any]]:
        """What is wrong with the file; where nothing is, the batch is in progress."""
        try:
            file = InputFile(self._batch)
            report = validate(file.read, endpoint=self._batch.endpoint, check=self._check)
        except InputGone:
            return [_gone()]
        if not report.errors:
            columns = {"total": report.total, "model": report.model, "in_progress_at": self._now}
            self._move(State.VALIDATING, State.IN_PROGRESS, **columns)
        return report.errors

    def _move(self, before: str, after: str, **columns: Any) -> None:
        """To another state, unless somebody cancelled meanwhile."""
        with tenant_scope():
            Batch.objects.filter(id=self._batch.id, state=before).update(state=after, failures=0, **columns)
            self._batch.refresh_from_db()

    def _fail(self, errors: list[dict[str, Any]]) -> float | None:
        """The file is no batch."""
        with tenant_scope():
            if work.finish(self._claim):
                rows = Batch.objects.filter(id=self._batch.id)
                rows.update(state=State.FAILED, failed_at=self._now, errors=errors)
                _tell(self._batch, "failed", {"code": errors[0]["code"]})
        return None

    def _go_on(self) -> float | None:
        """Feed; where every line has ended, write."""
        pace = self._pace()
        window = int(min(max(WINDOW, pace * _SWEEP_SECONDS), MOST_WINDOW))
        free = feed(self._batch, window=window, now=self._now, check=self._check)
        counts = self._counts()
        if counts["open"] == 0 and self._batch.next_byte >= self._batch.input_bytes:
            self._move(State.IN_PROGRESS, State.FINALIZING, finalizing_at=self._now)
            return self._write(State.COMPLETED) if self._batch.state == State.FINALIZING else self._stop()
        return self._delay(counts, pace) if free else 2.0

    def _counts(self) -> dict[str, Any]:
        """Of the lines that have rows, kept in the batch for those who ask."""
        lines, batch = BatchLine.objects.filter(batch=self._batch), self._batch
        states = {state: Count("id", filter=Q(state=state)) for state in BatchLine.State.values}
        with tenant_scope():
            found = lines.aggregate(**states, next=Min("not_before", filter=Q(state=BatchLine.State.WAITING)))
            if (found["completed"], found["failed"]) != (batch.completed, batch.failed) or batch.counted_at is None:
                batch.completed, batch.failed, batch.counted_at = found["completed"], found["failed"], self._now
                columns = {name: getattr(batch, name) for name in ("completed", "failed", "counted_at")}
                Batch.objects.filter(id=batch.id).update(failures=0, **columns)
        return {**found, "open": found["waiting"] + found["queued"]}

    def _pace(self) -> float:
        """Lines that ended in a second since they were counted last."""
        before, since = self._batch.completed + self._batch.failed, self._batch.counted_at
        counts = self._counts()
        seconds = (self._now - since).total_seconds() if since else 0.0
        return (counts["completed"] + counts["failed"] - before) / seconds if seconds > 0 else 0.0

    def _delay(self, counts: dict[str, Any], pace: float) -> float:
        """Until half of what is under way should have ended; longer and longer where nothing ends."""
        idle = (self._now - self._batch.counted_at).total_seconds() / 4 if self._batch.counted_at else _SHORTEST
        delay = counts["queued"] / 2 / pace if pace else idle
        if counts["next"] is not None and not counts["queued"]:
            delay = (counts["next"] - self._now).total_seconds()
        left = (self._batch.expires_at - self._now).total_seconds()
        return min(max(delay, _SHORTEST), _LONGEST, max(left, _SHORTEST))

    def _stop(self) -> float | None:
        """Drop what has not begun; where nothing is under way any more, write."""
        self._drop()
        if self._counts()["queued"]:
            return _SHORTEST
        if self._batch.errors:
            return self._write(State.FAILED)
        return self._write(State.CANCELLED if self._batch.state == State.CANCELLING else State.EXPIRED)

    def _drop(self) -> None:
        """Lines that wait, and those whose calls no worker has claimed."""
        lines = BatchLine.objects.filter(batch=self._batch)
        with tenant_scope() as tenant_id:
            lines.filter(state=BatchLine.State.WAITING).update(state=BatchLine.State.DROPPED)
            queued = lines.filter(state=BatchLine.State.QUEUED).values_list("generation_id", flat=True)
            ids = [ident for ident in queued if ident is not None]
        for ident in ids:
            self._check()
            generations.withdraw(tenant_id=tenant_id, generation_id=ident)
        with tenant_scope():
            withdrawn = Generation.objects.filter(id__in=ids, state=Generation.State.CANCELLED).values("id")
            lines.filter(state=BatchLine.State.QUEUED, generation_id__in=withdrawn).update(
                state=BatchLine.State.DROPPED
            )

    def _write(self, ending: str) -> float | None:
        """The output, and the end. One that was cancelled while it was written is complete all the same."""
        columns = write_results(self._batch, ending=ending, now=self._now, check=self._check)
        with tenant_scope():
            if not work.finish(self._claim):
                raise LeaseLost
            save_results(self._batch, {**columns, "state": ending, f"{ending}_at": self._now})
            if self._batch.errors:
                Batch.objects.filter(id=self._batch.id).update(errors=self._batch.errors)
            counts = {"completed": columns["completed"], "failed": columns["failed"]}
            _tell(self._batch, ending, counts)
        return None


def _tell(batch: Batch, ending: str, changes: dict[str, Any]) -> None:
    """The audit log and the tenant's webhooks, in the transaction of the end."""
    record(by=SYSTEM, action=f"batch.{ending}", target=batch, changes=changes)
    emit(type=f"batch.{ending}", data={}, object_id=public_id(PREFIX, batch.id))


def _gone() -> dict[str, Any]:
    message = "The input file was deleted before the batch had read it."
    return {"code": "input_file_deleted", "line": None, "message": message, "param": "input_file_id"}
