"""Sums of the ledger over any span of time, exact at this moment: from its roll-ups, and its lines where those stop.

A span is cut three ways: whole days are read from the sums by day, whole hours at its ends from those by hour, what is
left at the ends (less than an hour each) from the lines; lines that are not rolled up yet are added. So the cost of an
answer grows with the groups and days asked for, not with the calls. Only what asks for end users in less than whole
days, or for anything by the minute, reads lines.

Acts for the current tenant; inside `as_staff()` over all tenants.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Count, DateTimeField, F, Model, Q, QuerySet, Sum, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Concat, Trunc

from tenants.scope import is_staff, tenant_scope

from .models import ModelDay, UsageDay, UsageHour, UsageRecord, UserDay
from .rollups import steadily

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WIDTHS = {"1m": timedelta(minutes=1), "1h": HOUR, "1d": DAY}
_TRUNC = {"1m": "minute", "1h": "hour", "1d": "day"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Figure → its sum over the ledger's lines. The roll-ups have columns of these names.
_OF_LINES: dict[str, Any] = {
    "lines": Count("id"),
    "quantity": Sum("quantity"),
    "calls": Count("id", filter=Q(leads=True)),
    "cost": Sum("cost"),
    "provider_cost": Coalesce(Sum("provider_cost"), Decimal(0)),
    "unmatched_cost": Coalesce(Sum("cost", filter=Q(provider_cost=None)), Decimal(0)),
}
#: A dimension that starts so is the allocation tag named by the rest.
TAG = "tag:"
#: Dimension → what it is, in the ledger and in each roll-up.
_EXPRESSIONS: dict[str, Any] = {
    "tenant_id": F("tenant_id"),
    "api_key_id": F("key_id"),
    "user_id": F("end_user"),
    "model": F("model"),
    "meter": F("meter"),
    "operation": F("operation"),
    "batch": F("batch"),
    "provider": F("provider"),
    "currency": F("currency"),
    "line_item": Concat("model", Value(", "), "meter"),
}

#: (start, end): from start, inclusive, to end, exclusive (UTC).
Span = tuple[datetime, datetime]
#: (start of the bucket, or None; dimension → value; figure → sum).
Sums = list[tuple[datetime | None, dict[str, Any], dict[str, Any]]]


def floor(moment: datetime, width: timedelta) -> datetime:
    """The start of the bucket that holds `moment`; buckets are counted from the Unix epoch, as Postgres truncates."""
    return _EPOCH + (moment - _EPOCH) // width * width


def ceiling(moment: datetime, width: timedelta) -> datetime:
    """`moment`, if a bucket starts there, else the start of the next."""
    return -((_EPOCH - moment) // width) * width + _EPOCH


@dataclass(frozen=True)
class Selection:
    """Which lines, and by what they are added up.

    `only`: dimension → the values that count (a missing dimension: all; None among the values: lines without one).
    `rows`: a condition on columns that the ledger and every roll-up have.
    """

    group_by: Sequence[str] = ()
    only: Mapping[str, Collection[Any]] = field(default_factory=dict)
    rows: Q = field(default_factory=Q)

    @property
    def days(self) -> type[UserDay | UsageDay | ModelDay]:
        """The sums by day that can answer, with as few rows as there are."""
        asked = {*self.group_by, *self.only}
        if "user_id" in asked:
            return UserDay
        return UsageDay if any(name == "api_key_id" or name.startswith(TAG) for name in asked) else ModelDay


def sums(*, within: Span, width: str | None, selection: Selection, figures: Sequence[str]) -> Sums:
    """The figures of each group in each bucket of `width` (a key of `WIDTHS`; None: all of `within` is one).

    Groups without a line are left out. `figures`: quantity, calls (of models), cost, provider_cost (of lines where it
    is known), unmatched_cost (what lines cost where it is not).

    Raises:
        ServiceUnavailable: the roll-ups moved while they were read, each time.
    """
    # Staff read all tenants in statements of their own; others their own in a scope.
    with nullcontext() if is_staff() else tenant_scope():
        return steadily(lambda mark: _merged(_parts(within, width, selection, mark), width, selection, figures))


def _parts(within: Span, width: str | None, selection: Selection, mark: int) -> Iterator[QuerySet]:
    """Querysets that have each line of `within` once: in a roll-up, or itself."""
    start, end = within
    by_time = Q(occurred_at__gte=start, occurred_at__lt=end)
    if not mark:
        yield UsageRecord.objects.filter(by_time)
        return
    edges = [within]
    if width in ("1d", None):
        whole, edges = _whole(edges, DAY)
        yield from (selection.days.objects.filter(start__gte=first, start__lt=last) for first, last in whole)
    if width != "1m" and selection.days is not UserDay:
        whole, edges = _whole(edges, HOUR)
        yield from (UsageHour.objects.filter(start__gte=first, start__lt=last) for first, last in whole)
    if edges:
        of_edges = reduce(or_, (Q(occurred_at__gte=first, occurred_at__lt=last) for first, last in edges))
        yield UsageRecord.objects.filter(of_edges, xact__lt=mark)
    yield UsageRecord.objects.filter(by_time, xact__gte=mark)


def _whole(spans: Iterable[Span], width: timedelta) -> tuple[list[Span], list[Span]]:
    """The whole buckets of some spans, and what is left of them."""
    whole: list[Span] = []
    left: list[Span] = []
    for start, end in spans:
        first, last = ceiling(start, width), floor(end, width)
        if first >= last:
            left.append((start, end))
            continue
        whole.append((first, last))
        left += [span for span in ((start, first), (last, end)) if span[0] < span[1]]
    return whole, left


def _merged(parts: Iterable[QuerySet], width: str | None, selection: Selection, figures: Sequence[str]) -> Sums:
    total: dict[tuple[Any, ...], list[Any]] = {}
    for part in parts:
        for row in _grouped(part, width, selection, figures):
            key, values = row[: -len(figures) - 1], row[-len(figures) :]
            if not row[-len(figures) - 1]:
                continue  # what SQL answers where nothing is there and nothing is grouped by
            known = total.get(key)
            total[key] = list(values) if known is None else [a + b for a, b in zip(known, values, strict=True)]
    ordered = sorted(total.items(), key=lambda item: tuple((value is None, value) for value in item[0]))
    names = selection.group_by
    return [
        (key[0], dict(zip(names, key[1:], strict=True)), dict(zip(figures, values, strict=True)))
        for key, values in ordered
    ]


def _grouped(part: QuerySet, width: str | None, selection: Selection, figures: Sequence[str]) -> Iterable[Any]:
    """Tuples of bucket, dimensions, the number of lines, and figures."""
    model: type[Model] = part.model
    lines = model is UsageRecord
    moment = "occurred_at" if lines else "start"
    bucket: Any = (
        Value(None, output_field=DateTimeField()) if width is None else Trunc(moment, _TRUNC[width], tzinfo=UTC)
    )
    if width == "1d" and issubclass(model, ModelDay | UsageDay | UserDay):
        bucket = F("start")
    named = {f"group_{n}": _expression(name) for n, name in enumerate(selection.group_by)}
    rows = part.filter(selection.rows)
    for n, (name, values) in enumerate(selection.only.items()):
        wanted = Q(**{f"only_{n}__in": [value for value in values if value is not None]})
        if None in values:
            wanted |= Q(**{f"only_{n}": None})
        rows = rows.alias(**{f"only_{n}": _expression(name)}).filter(wanted)
    added = {f"sum_{name}": _OF_LINES[name] if lines else Sum(name) for name in ("lines", *figures)}
    grouped = rows.order_by().values(bucket=bucket, **named).annotate(**added)
    return grouped.values_list("bucket", *named, *added)


def _expression(name: str) -> Any:
    """What a dimension is in the ledger and in each roll-up."""
    return KeyTextTransform(name.removeprefix(TAG), "tags") if name.startswith(TAG) else _EXPRESSIONS[name]
