"""Numbers at a glance, with their units."""

from collections.abc import Mapping
from decimal import Decimal

from .amounts import readable

_UNITS = ((1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k"))


def count(number: int) -> str:
    """`842`, `12.3k`, `4.56M`: three figures from ten thousand on."""
    if number < 10_000:
        return f"{number:,}"
    size, unit = next(one for one in _UNITS if number >= one[0])
    return f"{number / size:.3g}{unit}" if number < 1000 * size else f"{number // size:,}{unit}"


def money(cost: Mapping[str, Decimal], currency: str = "") -> str:
    """Each currency's amount; nothing spent is nothing in `currency`."""
    told = [f"{readable(amount)} {name}" for name, amount in sorted(cost.items())]
    return " + ".join(told) or f"0.00 {currency}".strip()


def share(value: float | None) -> str:
    """A per cent, exact to a tenth below ten."""
    return "–" if value is None else f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def duration(seconds: float | None) -> str:
    """`340 ms`, `2.1 s`, `45 s`."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
