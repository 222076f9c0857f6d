"""A report, made: claimed, written to disk, stored, and told of, by `report.ready`, in the transaction that ends it.

No transaction is held but those that read the ledger, a slice at a time. A worker may die anywhere: the report is made
anew, and what the dead one stored is removed. After some attempts it has failed. A file is kept for thirty days.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import BinaryIO, cast
from uuid import UUID

from django.db import connection

from tenants import object_store, work
from tenants.errors import InvalidRequest, ServiceUnavailable
from tenants.ids import public_id
from tenants.leases import Lease, LeaseLost, keeping, lease_time
from tenants.object_store import tenant_name
from tenants.scope import current_tenant, tenant_scope
from tenants.webhooks import emit
from tenants.work import REPORTS, Claim

from ..models import Report
from ..reservations import plain
from .requests import PREFIX, report_json
from .wanted import PLATFORM, wanted_of
from .writing import Made, scratch, write_file

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 5
KEPT = timedelta(days=30)
_TOLD_SECONDS = 1.0
_BROKEN = {"code": "server_error", "message": "The report could not be made. Quote its id when reporting it."}
State = Report.State


def claim_next(*, worker: str) -> Claim | None:
    """The next report to be made, by fairness between tenants; the edge then acts for its tenant."""
    return work.claim(REPORTS, worker=worker, lease=lease_time())


def run(claim: Claim, *, worker: str, clock: Callable[[], datetime]) -> None:
    """One report, to its end, or given back to be tried again. `clock` tells when it is ready."""
    report = _begin(claim)
    if report is None:
        return
    try:
        with keeping(claim, worker=worker) as lease, TemporaryFile(dir=scratch()) as file:
            made = _write(report, cast(BinaryIO, file), lease)
            _store(claim, report, made, cast(BinaryIO, file), now=clock())
    except LeaseLost:
        logger.info("the report %s was deleted, or another worker makes it", claim.id)
    except InvalidRequest as error:
        _fail(claim, {"code": error.code or "", "message": error.message})
    except ServiceUnavailable as error:
        stumble(claim, reason=error.message)
    except Exception:
        logger.exception("making the report %s broke", claim.id)
        stumble(claim, reason="it broke")


def stumble(claim: Claim, *, reason: str = "the worker died") -> None:
    """An attempt broke, or its worker died: again a little later, or, after the last one, the report has failed."""
    with tenant_scope():
        report = Report.objects.filter(id=claim.id).first()
        if report is None:
            work.finish(claim)
        elif report.attempts < MAX_ATTEMPTS:
            work.retry(claim, delay=timedelta(seconds=2 * 3 ** (report.attempts - 1)), reason=reason)
        else:
            _fail(claim, _BROKEN)


def _begin(claim: Claim) -> Report | None:
    """Count the attempt; None where the report is gone or over."""
    with tenant_scope():
        report = Report.objects.select_for_update().filter(id=claim.id).first()
        if report is None or report.state not in (State.QUEUED, State.IN_PROGRESS):
            work.finish(claim)
            return None
        report.state, report.attempts, report.progress = State.IN_PROGRESS, report.attempts + 1, 0
        report.save(update_fields=["state", "attempts", "progress"])
    return report


def _write(report: Report, file: BinaryIO, lease: Lease) -> Made:
    wanted = wanted_of(kind=report.kind, start=report.start, end=report.end, options=report.options)
    told_at = time.monotonic()

    def told(share: float) -> None:
        nonlocal told_at
        lease.check()
        if time.monotonic() - told_at < _TOLD_SECONDS:
            return
        told_at = time.monotonic()
        with tenant_scope():
            rows = Report.objects.filter(id=report.id, attempts=report.attempts)
            if not rows.update(progress=min(99, int(100 * share))):
                raise LeaseLost

    return write_file(wanted, format=report.format, to=file, told=told)


def _store(claim: Claim, report: Report, made: Made, file: BinaryIO, *, now: datetime) -> None:
    for earlier in range(1, report.attempts):
        object_store.delete(_name(report.id, earlier))
    name = object_store.put(_name(report.id, report.attempts), file)
    try:
        _complete(claim, report, made, name, now=now)
    except LeaseLost:
        object_store.delete(name)
        raise


def _name(report_id: UUID, attempt: int) -> str:
    ident = f"{report_id}-{attempt}"
    return f"platform/reports/{ident}" if current_tenant() == PLATFORM else tenant_name("reports", ident)


def _complete(claim: Claim, report: Report, made: Made, name: str, *, now: datetime) -> None:
    with tenant_scope():
        if not work.finish(claim):
            raise LeaseLost
        report.state, report.progress, report.stored_as = State.COMPLETED, 100, name
        report.rows, report.bytes, report.sha256 = made.rows, made.bytes, made.sha256
        report.totals = {currency: plain(cost) for currency, cost in made.totals.items()}
        report.completed_at, report.expires_at = now, now + KEPT
        report.save(force_update=True)
        emit(type="report.ready", data=report_json(report), object_id=public_id(PREFIX, report.id))


def _fail(claim: Claim, error: dict[str, str]) -> None:
    with tenant_scope():
        if work.finish(claim):
            Report.objects.filter(id=claim.id).update(state=State.FAILED, error=error)


def expired(now: datetime, *, limit: int = 100) -> list[tuple[UUID, UUID]]:
    """(tenant, report) of files whose time is over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM expired_reports(%s, %s)", [now, limit])
        return list(cursor.fetchall())


def expire(report_id: UUID) -> None:
    """Remove a report's file; its row still says what it held.

    Raises:
        StorageUnavailable: try again.
    """
    with tenant_scope():
        report = Report.objects.filter(id=report_id, state=State.COMPLETED).first()
    if report is not None:
        object_store.delete(report.stored_as)
        with tenant_scope():
            Report.objects.filter(id=report_id).update(state=State.EXPIRED, stored_as="")
