"""The task that posts what approved bills correct."""

from datetime import UTC, datetime

from celery import shared_task

from . import correcting

_AT_ONCE = 200


@shared_task
def post_bill_corrections() -> None:
    """Post until nothing waits; each row is posted once, whoever does it."""
    while correcting.post(limit=_AT_ONCE, now=datetime.now(UTC)) == _AT_ONCE:
        pass
