"""What finance asks: usage and costs by time bucket, and a month over all tenants. Exact sums of the ledger.

Every ledger row counts in exactly one kind of usage, and in the costs, whatever the filter or bucket: so pages, groups
and adjacent ranges add up to the ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, Sum

from tenants.models import Tenant
from tenants.scope import as_staff

from .models import Meter, UsageRecord
from .sums import WIDTHS, Selection, Span, floor, sums

#: What a text model reads and writes; a search has that too, where its query is rewritten.
_TEXT = Q(meter__in=(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS))
_EMBEDDINGS = Q(meter=Meter.EMBEDDING_TOKENS) | (Q(operation__in=("embeddings", "ingestion", "search")) & ~_TEXT)
#: Kinds of usage that have a meter of their own.
_OWN_METERS = {
    "moderations": Meter.MODERATION_CALLS,
    "file_search_calls": Meter.SEARCH_CALLS,
    "vector_stores": Meter.STORAGE_BYTE_HOURS,
    "ocr_pages": Meter.OCR_PAGES,
    "fine_tuning": Meter.FINE_TUNING_TOKENS,
}
_OTHERS = ~Q(meter__in=list(_OWN_METERS.values()))
#: Kind of usage → its rows.
KINDS = {
    "completions": _OTHERS & ~_EMBEDDINGS,
    "embeddings": _OTHERS & _EMBEDDINGS,
    **{kind: Q(meter=meter) for kind, meter in _OWN_METERS.items()},
}
#: Figure of usage → the meters whose units it adds up.
_FIGURES: dict[str, tuple[str, ...]] = {
    "input_tokens": (Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.EMBEDDING_TOKENS),
    "cached_tokens": (Meter.CACHED_INPUT_TOKENS,),
    "output_tokens": (Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS),
    "reasoning_tokens": (Meter.REASONING_TOKENS,),
    "cache_hits": (Meter.CACHE_HITS,),
    "units": tuple(_OWN_METERS.values()),
}


@dataclass(frozen=True)
class Range:
    """A page of buckets: `count` of them from the one that holds `start`; `start` inclusive, `end` exclusive (UTC)."""

    start: datetime
    end: datetime
    width: str
    count: int

    @property
    def buckets(self) -> list[Span]:
        """(start, end) of each bucket of this page, the last one cut at `end`."""
        width = WIDTHS[self.width]
        first = floor(self.start, width)
        starts = (first + n * width for n in range(self.count))
        return [(max(start, self.start), min(start + width, self.end)) for start in starts if start < self.end]

    @property
    def next_start(self) -> datetime | None:
        """Where the next page starts; None on the last."""
        end = self.buckets[-1][1]
        return end if end < self.end else None


@dataclass(frozen=True)
class Bucket:
    """One bucket's rows: dictionaries of the grouped dimensions and the figures."""

    start: datetime
    end: datetime
    rows: list[dict[str, Any]]


def usage(*, kind: str, within: Range, selection: Selection) -> list[Bucket]:
    """Units and requests of the current tenant, or of all where staff asks. `kind` is a key of `KINDS`.

    Rows carry input_tokens (cached ones included), cached_tokens, output_tokens (reasoning included), reasoning_tokens,
    requests: calls of a model, each attempt of each request; cache_hits: requests that the response cache answered,
    which are no requests to a model and have no tokens; units of kinds with a meter of their own.
    """
    asked = replace(selection, group_by=[*selection.group_by, "meter"], rows=selection.rows & KINDS[kind])
    buckets: dict[datetime, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for start, dimensions, figures in _read(within, asked, ["quantity", "calls"]):
        meter = dimensions.pop("meter")
        empty = {**dimensions, "requests": 0, **dict.fromkeys(_FIGURES, 0)}
        row = buckets.setdefault(start, {}).setdefault(tuple(dimensions.values()), empty)
        row["requests"] += int(figures["calls"])
        for name, meters in _FIGURES.items():
            if meter in meters:
                row[name] += int(figures["quantity"])
    return _in_order(within, {start: list(rows.values()) for start, rows in buckets.items()})


def costs(*, within: Range, selection: Selection) -> list[Bucket]:
    """What the current tenant is charged, or each of all where staff asks; currencies are never mixed.

    Rows carry amount (exact), quantity and currency; provider_amount, what the platform pays for the lines of which that
    is known, and unmatched_amount, what is charged for the others.
    """
    asked = replace(selection, group_by=["currency", *selection.group_by])
    names = {"cost": "amount", "provider_cost": "provider_amount", "unmatched_cost": "unmatched_amount"}
    buckets: dict[datetime, list[dict[str, Any]]] = {}
    for start, dimensions, figures in _read(within, asked, ["quantity", *names]):
        amounts = {called: figures[name] for name, called in names.items()}
        buckets.setdefault(start, []).append({**dimensions, **amounts, "quantity": int(figures["quantity"])})
    return _in_order(within, buckets)


def _read(within: Range, selection: Selection, figures: list[str]) -> Iterator[tuple[datetime, dict[str, Any], Any]]:
    buckets = within.buckets
    span = (buckets[0][0], buckets[-1][1])
    for start, dimensions, values in sums(within=span, width=within.width, selection=selection, figures=figures):
        assert start is not None  # every sum is of a bucket where a width is asked for
        yield start, dimensions, values


def _in_order(within: Range, found: dict[datetime, list[dict[str, Any]]]) -> list[Bucket]:
    width = WIDTHS[within.width]
    return [Bucket(start, end, found.get(floor(start, width), [])) for start, end in within.buckets]


@dataclass(frozen=True)
class MonthLine:
    """What one tenant used of one meter of one model in a month, and its cost."""

    tenant: str
    model: str
    meter: str
    quantity: int
    cost: Decimal
    currency: str


def month_lines(*, month: date, tenant_id: UUID | None = None) -> Iterator[MonthLine]:
    """The ledger of a month over all tenants, or one, for platform finance; streamed, ordered by tenant.

    The month is that of the reservations, as in the budgets, so a report adds up to what the budgets say is spent.
    """
    only = {} if tenant_id is None else {"tenant_id": tenant_id}
    with as_staff():
        slugs = dict(Tenant.objects.values_list("id", "slug"))
        # Bound to the staff alias here: whoever reads the lines does not become staff between two of them.
        rows = (
            UsageRecord.objects.using("staff")
            .filter(period_start=month, **only)
            .values_list("tenant_id", "model", "meter", "currency")
            .annotate(quantity=Sum("quantity"), cost=Sum("cost"))
            .order_by("tenant_id", "model", "meter", "currency")
        )
    for owner, model, meter, currency, quantity, cost in rows.iterator():
        # An erased tenant's name is gone, its ledger is not.
        yield MonthLine(slugs.get(owner, str(owner)), model, meter, quantity, cost, currency)
