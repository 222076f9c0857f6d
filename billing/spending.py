"""What a tenant uses and spends, for people to look at: over time, and who or what took most. Exact sums of the ledger.

Acts for the current tenant; inside `as_staff()` over all tenants.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from .models import Meter
from .periods import Period
from .sums import Selection, sums

#: What a model reads, and what it writes.
READ = frozenset({Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.EMBEDDING_TOKENS})
WRITTEN = frozenset({Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS})
EVERYTHING = Selection()


@dataclass
class Spent:
    """Tokens read and written, calls of models, and the cost by currency."""

    read: int = 0
    written: int = 0
    calls: int = 0
    units: int = 0
    cost: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, meter: str, currency: str, figures: dict[str, Any]) -> None:
        """Count what one meter says."""
        quantity = int(figures["quantity"])
        self.units += quantity
        self.read += quantity if meter in READ else 0
        self.written += quantity if meter in WRITTEN else 0
        self.calls += int(figures["calls"])
        self.cost[currency] += figures["cost"]

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.read + self.written


def spent_over_time(period: Period, *, selection: Selection = EVERYTHING) -> dict[datetime, Spent]:
    """Start of the bucket → what was spent in it; buckets without anything are left out."""
    found: defaultdict[datetime, Spent] = defaultdict(Spent)
    for start, _, meter, currency, figures in _read(period, (), period.width, selection):
        assert start is not None  # a width is asked for
        found[start].add(meter, currency, figures)
    return dict(found)


def spent_by(period: Period, dimension: str, *, selection: Selection = EVERYTHING) -> list[tuple[Any, Spent]]:
    """The values of a dimension (`model`, `api_key_id`, `user_id`, `tag:…`) with what each took, the dearest first."""
    found: defaultdict[Any, Spent] = defaultdict(Spent)
    for _, value, meter, currency, figures in _read(period, (dimension,), None, selection):
        found[value].add(meter, currency, figures)
    return sorted(found.items(), key=lambda item: (-sum(item[1].cost.values()), -item[1].units, str(item[0])))


def _read(
    period: Period, group_by: tuple[str, ...], width: str | None, selection: Selection
) -> Iterator[tuple[datetime | None, Any, str, str, dict[str, Any]]]:
    asked = replace(selection, group_by=("meter", "currency", *group_by))
    for start, of, figures in sums(
        within=period.within, width=width, selection=asked, figures=("quantity", "calls", "cost")
    ):
        value = of[group_by[0]] if group_by else None
        yield start, value, of["meter"], of["currency"], figures
