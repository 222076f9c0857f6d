"""How a call's figures are written."""

from decimal import Decimal

from django import template
from django.urls import reverse

from billing.reservations import plain

from ..explorer.passages import Found

register = template.Library()


@register.filter
def amount(value: Decimal | None) -> str:
    """Every digit that an amount has."""
    return "" if value is None else plain(value)


@register.filter
def number(value: int) -> str:
    """With its thousands apart."""
    return f"{value:,}"


@register.filter
def milliseconds(value: float | None) -> str:
    """With a unit that suits it."""
    if value is None:
        return "–"
    return f"{value / 1000:,.2f} s" if value >= 1_000 else f"{value:,.0f} ms"


@register.filter
def place_url(passage: Found) -> str:
    """Where a passage stands in its file's text."""
    url = reverse("admin:file_preview", args=[passage.file_id])
    return f"{url}?start={passage.start}&end={passage.end}"
