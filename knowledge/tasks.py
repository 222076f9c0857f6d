"""Doorbells and the sweep of ingestion. Messages carry nothing: the rows say what there is to do."""

import logging
import os
import socket
import threading
from typing import Any

from celery import shared_task
from django.db import transaction
from kombu.exceptions import OperationalError

from tenants import work
from tenants.scope import acting_for

from . import attachments, ingestion, vector_stores
from .models import VectorStore, VectorStoreFile

logger = logging.getLogger(__name__)
_MOST_RUNG = 16
_SWEPT_DOORBELL_SECONDS = 4


@shared_task
def ingest() -> None:
    """Claim one attachment, the next by fairness, and ingest it."""
    worker = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    claim = ingestion.claim_next(worker=worker)
    if claim is not None:
        with acting_for(claim.tenant_id):
            ingestion.run(claim, worker=worker)


@shared_task
def sweep_ingestion() -> None:
    """Recover what dead workers left, wake what waited, and ring again for rows whose doorbell was lost."""
    for claim in work.expired(work.INGESTION):
        with acting_for(claim.tenant_id):
            ingestion.recover(claim)
    waiting = work.tend(work.INGESTION).queued
    for _ in range(min(waiting, _MOST_RUNG)):
        # They expire, or a long backlog would pile up a doorbell for every sweep.
        ring(expires=_SWEPT_DOORBELL_SECONDS)


def ring(**options: Any) -> None:
    """Tell the workers that something waits. Where the broker is away the sweep rings later."""
    try:
        ingest.apply_async(retry_policy={"max_retries": 1, "interval_start": 0}, **options)
    except OperationalError:
        logger.warning("the doorbell of ingestion was not heard; the sweep rings again")


def start_ingestion(**attachment: Any) -> VectorStoreFile:
    """`attachments.attach`, and the doorbell on commit."""
    attached = attachments.attach(**attachment)
    transaction.on_commit(ring)
    return attached


def start_store(**store: Any) -> VectorStore:
    """`vector_stores.create_store`, and a doorbell for each of its files on commit."""
    created = vector_stores.create_store(**store)
    for _ in store.get("file_ids", ()):
        transaction.on_commit(ring)
    return created
