"""Thin tasks over idempotent functions."""

from celery import shared_task

from .reservations import settle_expired
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
