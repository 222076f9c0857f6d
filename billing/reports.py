"""What finance asks: usage and costs by time bucket, and a month over all tenants. Exact sums, one query each.

Every ledger row counts in exactly one of the two kinds of usage, and in the costs, whatever the filter or bucket: so
pages, groups and adjacent ranges add up to the ledger.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum, TextField, Value
from django.db.models.functions import Coalesce, Concat, Trunc

from tenants.models import Tenant
from tenants.scope import as_staff, tenant_scope

from .models import Meter, UsageRecord

WIDTHS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
_TRUNC = {"1m": "minute", "1h": "hour", "1d": "day"}

#: What a text model reads and writes; a search has that too, where its query is rewritten.
_TEXT = Q(meter__in=(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS))
_EMBEDDINGS = Q(meter=Meter.EMBEDDING_TOKENS) | (Q(operation__in=("embeddings", "ingestion", "search")) & ~_TEXT)
#: Kind of usage → its rows.
KINDS = {"completions": ~_EMBEDDINGS, "embeddings": _EMBEDDINGS}
#: Dimension → the ledger's column.
DIMENSIONS = {"user_id": "end_user", "api_key_id": "key_id", "model": "model", "line_item": "line_item"}


def _floor(moment: datetime, width: timedelta) -> datetime:
    """The start of the bucket that holds `moment`; buckets are counted from the Unix epoch, as Postgres truncates."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // width * width


@dataclass(frozen=True)
class Range:
    """A page of buckets: `count` of them from the one that holds `start`; `start` inclusive, `end` exclusive (UTC)."""

    start: datetime
    end: datetime
    width: str
    count: int

    @property
    def buckets(self) -> list[tuple[datetime, datetime]]:
        """(start, end) of each bucket of this page, the last one cut at `end`."""
        width = WIDTHS[self.width]
        first = _floor(self.start, width)
        starts = (first + n * width for n in range(self.count))
        return [(max(start, self.start), min(start + width, self.end)) for start in starts if start < self.end]

    @property
    def next_start(self) -> datetime | None:
        """Where the next page starts; None on the last."""
        end = self.buckets[-1][1]
        return end if end < self.end else None


@dataclass(frozen=True)
class Selection:
    """Which rows: dimension → the values that count (a missing dimension: all), and what to group them by."""

    only: dict[str, Collection[Any]] = field(default_factory=dict)
    group_by: Sequence[str] = ()


@dataclass(frozen=True)
class Bucket:
    """One bucket's rows: dictionaries of the grouped dimensions and the figures."""

    start: datetime
    end: datetime
    rows: list[dict[str, Any]]


def usage(*, kind: str, within: Range, selection: Selection) -> list[Bucket]:
    """Tokens and requests of the current tenant. `kind` is a key of `KINDS`.

    Rows carry input_tokens (cached ones included), cached_tokens, output_tokens (reasoning included),
    reasoning_tokens, requests, and cache_hits: requests that the response cache answered, which are no requests to a
    model and have no tokens.
    """
    tokens = {
        "input_tokens": (Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.EMBEDDING_TOKENS),
        "cached_tokens": (Meter.CACHED_INPUT_TOKENS,),
        "output_tokens": (Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS),
        "reasoning_tokens": (Meter.REASONING_TOKENS,),
        "cache_hits": (Meter.CACHE_HITS,),
    }
    sums = {name: Coalesce(Sum("quantity", filter=Q(meter__in=meters)), 0) for name, meters in tokens.items()}
    # A request is a call to a model: each attempt of each request that is no correction of another.
    call = Concat(F("request_id"), Value(":"), F("attempt"), output_field=TextField())
    requests = Count(call, filter=Q(corrects=None) & ~Q(meter=Meter.CACHE_HITS), distinct=True)
    return _buckets(UsageRecord.objects.filter(KINDS[kind]), within, selection, {**sums, "requests": requests})


def costs(*, within: Range, selection: Selection) -> list[Bucket]:
    """What the current tenant is charged. Rows carry amount (exact), quantity and currency; currencies are never mixed."""
    figures = {"amount": Sum("cost"), "quantity": Sum("quantity")}
    return _buckets(UsageRecord.objects.all(), within, selection, figures, always=["currency"])


def _buckets(
    rows: QuerySet, within: Range, selection: Selection, figures: dict[str, Any], always: Sequence[str] = ()
) -> list[Bucket]:
    buckets = within.buckets
    groups = [*always, *(DIMENSIONS[name] for name in selection.group_by)]
    with tenant_scope():
        rows = rows.filter(occurred_at__gte=buckets[0][0], occurred_at__lt=buckets[-1][1])
        rows = rows.annotate(
            bucket=Trunc("occurred_at", _TRUNC[within.width], tzinfo=UTC),
            line_item=Concat("model", Value(", "), "meter"),
        )
        for name, values in selection.only.items():
            rows = rows.filter(**{f"{DIMENSIONS[name]}__in": values})
        found: dict[datetime, list[dict[str, Any]]] = {}
        for row in rows.values("bucket", *groups).annotate(**figures).order_by("bucket", *groups):
            found.setdefault(row.pop("bucket"), []).append(row)
    width = WIDTHS[within.width]
    return [Bucket(start, end, found.get(_floor(start, width), [])) for start, end in buckets]


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
