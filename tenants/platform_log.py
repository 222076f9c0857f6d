"""The log of the platform's own tables, which belong to no tenant: Django's, on whose pages staff read it."""

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.db import models

from .audit import Actor
from .models import User


def record_platform(*, by: Actor, target: models.Model, message: str) -> None:
    """Write what a member of the platform's staff did to `target`; call it in the staff session of the change.

    Raises:
        ValueError: `by` is not of the platform's staff.
    """
    if by.type != "staff":
        raise ValueError(f"the platform's log names people of its staff, not {by.type}")
    rows = type(target)._default_manager.filter(pk=target.pk)
    LogEntry.objects.log_actions(by.id, rows, CHANGE, change_message=message, single_object=True)


def record_made_staff(*, person: User) -> None:
    """Write that somebody was made staff at the command line: under their own name, for the log's rows name a person and
    nobody else is known there."""
    made = "Made one of the platform's staff at the command line (manage.py create_staff)"
    LogEntry.objects.log_actions(person.pk, [person], ADDITION, change_message=made, single_object=True)
