"""Columns that several tables have."""

from django.db import models


def money(**options: object) -> models.DecimalField:
    """A column for amounts: 12 digits before the point and 12 after it."""
    return models.DecimalField(max_digits=24, decimal_places=12, **options)  # type: ignore[arg-type]
