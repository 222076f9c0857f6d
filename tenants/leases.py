"""Keeping a claimed unit while working on it: a thread renews its lease; losing it stops the work at the next step."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import OperationalError

from .work import Claim, renew

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another attempt has the unit, or it was deleted: this one writes nothing more."""


def lease_time() -> timedelta:
    """How long a claim lasts without renewal."""
    return timedelta(seconds=settings.WORK_LEASE_SECONDS)


class Lease:
    """A claim that is being renewed."""

    def __init__(self) -> None:
        self.lost = threading.Event()

    def check(self) -> None:
        """Call it between steps.

        Raises:
            LeaseLost: stop.
        """
        if self.lost.is_set():
            raise LeaseLost


@contextmanager
def keeping(claim: Claim, *, worker: str) -> Iterator[Lease]:
    """Renew the lease of `claim`, three times in its length, until the block ends."""
    lease, done = Lease(), threading.Event()
    thread = threading.Thread(target=_renew, args=(claim, worker, lease, done), name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()


def _renew(claim: Claim, worker: str, lease: Lease, done: threading.Event) -> None:
    while not done.wait(settings.WORK_LEASE_SECONDS / 3):
        try:
            if claim.id not in renew(worker, [claim.id], lease=lease_time()):
                lease.lost.set()
                return
        except OperationalError:
            # The database is away: the next turn may find it back in time. The fence guards what is written anyway.
            logger.warning("could not renew the lease of %s", claim.id)
