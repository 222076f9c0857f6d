"""How amounts are written."""

from decimal import Decimal


def plain(amount: Decimal) -> str:
    """An amount for people and for JSON: every digit it has, no exponent, no trailing zeros below the cent."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def readable(amount: Decimal) -> str:
    """An amount at a glance: cents from one unit on, three figures below; the exact one stands in statements and files."""
    if not amount:
        return "0.00"
    if abs(amount) >= 1:
        return f"{amount:,.2f}"
    return f"{amount:.{max(2, 2 - amount.adjusted())}f}"
