"""What each call of a list used and cost, in one query for all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from billing.models import Meter, UsageRecord
from tenants.models import ApiKey

from ..models import Generation

_IN = (Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.EMBEDDING_TOKENS)
_OUT = (Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS)


@dataclass
class Figures:
    """Tokens, and the cost once it is settled, of one call."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    currency: str = ""
    cached: bool = False

    def add(self, line: UsageRecord) -> None:
        """A line of the ledger."""
        if line.meter in _IN:
            self.input_tokens += line.quantity
        if line.meter in _OUT:
            self.output_tokens += line.quantity
        self.cached |= line.meter == Meter.CACHE_HITS
        self.cost = (self.cost or Decimal(0)) + line.cost
        self.currency = line.currency


def figures_of(ids: Iterable[UUID]) -> dict[UUID, Figures]:
    """Of calls of which any line was written; corrections are not looked for."""
    found: dict[UUID, Figures] = {}
    # With `corrects`: the ledger's unique index finds lines of a request where they correct nothing.
    lines = UsageRecord.objects.filter(request_id__in=list(ids), corrects__isnull=True)
    for line in lines.only("request_id", "meter", "quantity", "cost", "currency"):
        found.setdefault(line.request_id, Figures()).add(line)
    return found


def with_figures(rows: Sequence[Generation]) -> list[Generation]:
    """The same rows, each with `figures`, and with `key_name`."""
    figures = figures_of(row.id for row in rows)
    names = key_names({row.key_id for row in rows})
    for row in rows:
        row.figures = figures.get(row.id, Figures())  # type: ignore[attr-defined]
        row.key_name = names.get(row.key_id, "")  # type: ignore[attr-defined]
    return list(rows)


def key_names(ids: Iterable[UUID]) -> dict[UUID, str]:
    """What API keys are called."""
    return dict(ApiKey.objects.filter(id__in=list(ids)).values_list("id", "name"))
