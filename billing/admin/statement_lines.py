"""A statement as people read it: by model, then corrections and credits, with what each line is made of."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..amounts import plain
from ..models import StatementLine
from ..names import METERS
from ..statements.lines import Line, Totals
from ..statements.months import format_month

_KINDS = {StatementLine.Kind.CORRECTION: "Corrections", StatementLine.Kind.CREDIT: "Credits"}


@dataclass
class Group:
    """A model's lines, or the corrections, or the credits."""

    title: str
    currency: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    sum: Decimal = Decimal(0)

    @property
    def total(self) -> str:
        """Of its lines."""
        return f"{plain(self.sum)} {self.currency}"


def shown_lines(lines: Iterable[Line | StatementLine], currency: str) -> list[Group]:
    """The groups, each with its lines in their order."""
    groups: dict[str, Group] = {}
    for line in lines:
        title = _KINDS.get(StatementLine.Kind(line.kind), line.model or "Without a model")
        group = groups.setdefault(f"{line.kind} {title}", Group(title, currency))
        group.rows.append(_row(line, currency))
        group.sum += line.cost
    return list(groups.values())


def _row(line: Line | StatementLine, currency: str) -> dict[str, Any]:
    meter = METERS.get(line.meter, line.meter)
    corrected = line.corrected_month is not None
    return {
        "what": f"{line.model}: {meter}" if corrected else meter,
        "why": f"of {format_month(line.corrected_month)}: {line.reason}" if line.corrected_month else "",
        "quantity": f"{line.quantity:,}",
        "included": f"{line.included:,}" if line.included else "",
        "price": "" if line.unit_price is None else f"{plain(line.unit_price)} {currency} for {line.per or 1:,}",
        "cost": f"{plain(line.cost)} {currency}",
    }


def shown_totals(totals: Totals, currency: str) -> list[tuple[str, str]]:
    """What the statement comes to; what there is none of is left out."""
    named = {"Usage": totals.usage, "Corrections": totals.corrections, "Credits": totals.credits}
    told = [(name, amount) for name, amount in named.items() if amount or name == "Usage"]
    return [(name, f"{plain(amount)} {currency}") for name, amount in (*told, ("Total without taxes", totals.total))]
