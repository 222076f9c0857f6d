"""Thin tasks over idempotent functions."""

from celery import shared_task

from . import mail, work
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
