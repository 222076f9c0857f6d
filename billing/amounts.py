"""How amounts are written."""

from decimal import Decimal


def plain(amount: Decimal) -> str:
    """An amount for people and for JSON: every digit it has, no exponent, no trailing zeros below the cent."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
