"""Columns that several tables have."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


def money(**options: object) -> models.DecimalField:
    """A column for amounts: 12 digits before the point and 12 after it."""
    return models.DecimalField(max_digits=24, decimal_places=12, **options)  # type: ignore[arg-type]


def day_of_month(help_text: str) -> models.PositiveSmallIntegerField:
    """A column for a day that every month has, or none."""
    return models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(28)], help_text=help_text
    )
