"""Charts of what was spent, over the buckets of a period."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from tenants.desk.charts import Chart, Series

from .figures import money
from .periods import Period
from .spending import Spent

#: The colours of `desk/charts.css`, in the order in which series get them.
COLOURS = ("1", "2", "3", "4", "5")


def label_of(start: datetime, period: Period) -> str:
    """A bucket's name: the hour, or the day."""
    return f"{start:%H:%M}" if period.width == "1h" else f"{start:%-d %b}"


def labels_of(period: Period) -> list[str]:
    """Those of all its buckets."""
    return [label_of(start, period) for start in period.buckets]


def total_cost(spends: Iterable[Spent]) -> dict[str, Decimal]:
    """By currency."""
    total: dict[str, Decimal] = {}
    for one in spends:
        for name, amount in one.cost.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def cost_chart(period: Period, spends: Sequence[Spent], currency: str) -> Chart:
    """Costs, a series for each currency; `currency`: where there is none."""
    names = sorted({name for one in spends for name in one.cost}) or [currency]
    series = [_costs(f"Cost in {name}", spends, name, colour) for name, colour in zip(names, COLOURS, strict=False)]
    return Chart(f"Cost in {' and '.join(names)}" if names[0] else "Cost", labels_of(period), series)


def stacked_cost_chart(period: Period, parts: Mapping[str, Sequence[Spent]], currency: str) -> Chart:
    """Costs in one currency, a colour for each part."""
    series = [
        _costs(name, spends, currency, colour)
        for (name, spends), colour in zip(parts.items(), (*COLOURS, "quiet"), strict=False)
    ]
    return Chart(f"Cost in {currency}", labels_of(period), series)


def _costs(name: str, spends: Sequence[Spent], currency: str, colour: str) -> Series:
    amounts = [one.cost.get(currency, Decimal(0)) for one in spends]
    return Series(name, [float(one) for one in amounts], [money({currency: one}) for one in amounts], colour)


def tokens_chart(period: Period, spends: Sequence[Spent]) -> Chart:
    """Tokens read and written."""
    read = Series("Read", [one.read for one in spends], [f"{one.read:,}" for one in spends], "1")
    written = Series("Written", [one.written for one in spends], [f"{one.written:,}" for one in spends], "2")
    return Chart("Tokens", labels_of(period), [read, written])
