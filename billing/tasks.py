"""Thin tasks over idempotent functions."""

import threading
from datetime import UTC, datetime
from typing import Any

from celery import shared_task

from tenants import work
from tenants.doorbells import ring, ring_on_commit, ring_swept, worker_name
from tenants.scope import acting_for

from . import integrity, meter_events
from .budgets import alerts
from .exports import making, requests, schedules
from .models import Report
from .reservations import settle_expired
from .rollups import roll_up
from .statements.closing import close_due
from .variance import raise_alerts


@shared_task
def sweep_reservations() -> None:
    """End reservations whose lease ran out."""
    while settle_expired() == 100:
        pass


@shared_task
def sweep_variance_alerts() -> None:
    """Raise the alerts of usage above holds."""
    while raise_alerts() == 100:
        pass


@shared_task
def check_ledger(days: int | None = None) -> None:
    """Check that lines, sums and budgets agree: of the last days, or of all there are."""
    integrity.check(now=datetime.now(UTC), days=days)


@shared_task
def roll_up_usage() -> None:
    """Add the ledger's new lines to its sums by hour and day."""
    roll_up()


#: Two, so that a month is not kept waiting by five years; most of the time goes into the database.
_making = threading.BoundedSemaphore(2)


@shared_task
def make_report() -> None:
    """Claim one report, the next by fairness, and make it, unless this process is at two already."""
    if not _making.acquire(blocking=False):
        return
    try:
        worker = worker_name()
        claim = making.claim_next(worker=worker)
        if claim is None:
            return
        with acting_for(claim.tenant_id):
            making.run(claim, worker=worker, clock=lambda: datetime.now(UTC))
    finally:
        _making.release()
    ring(make_report)


@shared_task
def sweep_reports() -> None:
    """Queue what schedules want, recover what dead workers left, and ring again for rows whose doorbell was lost."""
    now = datetime.now(UTC)
    for tenant_id, schedule_id in schedules.due(now):
        with acting_for(tenant_id):
            schedules.start_due(schedule_id, now=now)
    for claim in work.expired(work.REPORTS):
        with acting_for(claim.tenant_id):
            making.stumble(claim)
    ring_swept(make_report, min(1, work.tend(work.REPORTS).queued))


@shared_task
def expire_reports() -> None:
    """Remove files of reports whose time is over."""
    for tenant_id, report_id in making.expired(datetime.now(UTC)):
        with acting_for(tenant_id):
            making.expire(report_id)


def start_report(**report: Any) -> Report:
    """`requests.create_report`, and the doorbell on commit."""
    asked = requests.create_report(**report)
    ring_on_commit(make_report)
    return asked


@shared_task
def sweep_budget_alerts() -> None:
    """Tell what budgets have reached."""
    alerts.raise_alerts(now=datetime.now(UTC))


@shared_task
def forecast_budgets() -> None:
    """Tell which budgets are on their way beyond their limit."""
    alerts.raise_alerts(now=datetime.now(UTC), forecast=True)


@shared_task
def close_due_statements() -> None:
    """Close the months whose set day has come."""
    close_due(now=datetime.now(UTC))


@shared_task
def send_meter_events() -> None:
    """Tell webhooks what meters counted in the hours that are over."""
    meter_events.send_due(now=datetime.now(UTC))
