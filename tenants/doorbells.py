"""Telling workers that something waits. Messages carry nothing: the rows say what there is to do, and where the broker
is away, or forgot, a sweep rings again.
"""

import logging
import os
import socket
import threading
from typing import Any

from celery import Task
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
#: Bells for one request or sweep. Each worker that they wake goes on while there is work, so more would change nothing.
MOST_RUNG = 16
_SWEPT_SECONDS = 4


def worker_name() -> str:
    """This thread, as claims name it."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"


def ring(task: Task, **options: Any) -> None:
    """Send the doorbell `task`. Where the broker is away the sweep rings later."""
    try:
        task.apply_async(retry_policy={"max_retries": 1, "interval_start": 0}, **options)
    except OperationalError:
        logger.warning("the doorbell %s was not heard; the sweep rings again", task.name)


def ring_on_commit(task: Task, times: int = 1) -> None:
    """Ring for `times` units once the caller's transaction is committed."""
    for _ in range(min(times, MOST_RUNG)):
        transaction.on_commit(lambda: ring(task))


def ring_swept(task: Task, waiting: int) -> None:
    """Ring again for what waits. These bells expire, or a long backlog would pile one up for every sweep."""
    for _ in range(min(waiting, MOST_RUNG)):
        ring(task, expires=_SWEPT_SECONDS)
