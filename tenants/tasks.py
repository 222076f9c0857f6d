"""Thin tasks over idempotent functions."""

from datetime import UTC, datetime

from celery import shared_task

from . import mail, viewing, work
from .doorbells import ring, ring_swept, worker_name
from .scope import acting_for


@shared_task
def send_mail() -> None:
    """Claim one letter, the next by fairness, and send it."""
    claim = mail.claim_next(worker=worker_name())
    if claim is not None:
        with acting_for(claim.tenant_id):
            mail.send(claim)
        ring(send_mail)


@shared_task
def sweep_mail() -> None:
    """Recover what dead workers left, wake what waited, and ring for what is to be sent."""
    for claim in work.expired(work.MAIL):
        with acting_for(claim.tenant_id):
            mail.recover(claim)
    ring_swept(send_mail, work.tend(work.MAIL).queued)


@shared_task
def end_overdue_views() -> None:
    """End looks of platform staff whose time is over."""
    viewing.end_overdue_views(now=datetime.now(UTC))
