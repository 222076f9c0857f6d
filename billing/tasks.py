"""Thin tasks over idempotent functions."""

from celery import shared_task

from .reservations import settle_expired


@shared_task
def sweep_reservations() -> None:
    """End reservations whose lease ran out."""
    while settle_expired() == 100:
        pass
