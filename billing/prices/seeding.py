"""List prices and providers' prices from what providers publish (`public`), with the date of the seed.

It can run again: a price that has not changed is left alone, one that has gets a new row. A price that somebody set is
theirs; it is replaced where that is asked for only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tenants.audit import Actor
from tenants.scope import as_staff

from ..models import Price, ProviderPrice
from .books import LIST, Book, NewPrice, add_prices
from .public import CURRENCY, SOURCE, published, source

_PER = 1_000_000


@dataclass(frozen=True)
class Served:
    """A model of the catalogue as one provider serves it.

    `upstream` is the provider's name for it; `provider` what deployments call the provider, and `public` what it is
    called where prices are published (None: known by `url`); `meters` the published meter → the one it is charged by.
    """

    name: str
    upstream: str
    provider: str
    meters: dict[str, str]
    public: str | None = None
    url: str | None = None


@dataclass
class Seeded:
    """What a seed did: rows added, prices that stood already, those that somebody else set, and models by name of which
    nobody published a price, or a higher one for longer prompts."""

    added: int = 0
    unchanged: int = 0
    kept: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    longer: list[str] = field(default_factory=list)


def seed(
    *, served: Iterable[Served], by: Actor, now: datetime, markup: Decimal = Decimal(0), replace: bool = False
) -> Seeded:
    """Add what providers publish: to the list with `markup` per cent on top, and to what the platform pays as it is.

    Of several providers of a model the first says the list price. All rows are added or none.

    Args:
        replace: list prices that were set otherwise too.
    """
    done = Seeded()
    rows: list[NewPrice] = []
    # What is taken once: a model's list price, and what one provider takes for it, however many deployments it has.
    listed: set[str] = set()
    paid: set[tuple[str, str]] = set()
    unknown = []
    for one in served:
        found = published(model=one.upstream, now=now, provider=one.public, url=one.url)
        if found is None:
            unknown.append(one.name)
            continue
        if found.longer is not None and one.name not in listed:
            done.longer.append(f"{one.name} above {found.longer} tokens")
        for meter, amount in found.amounts.items():
            if (charged := one.meters.get(meter)) is None:
                continue
            if one.name not in listed:
                rows += _new(done, one.name, charged, amount * (100 + markup) / 100, LIST, now, replace)
            if (one.name, one.provider) not in paid:
                rows += _new(done, one.name, charged, amount, Book(provider=one.provider), now, replace=True)
        listed.add(one.name)
        paid.add((one.name, one.provider))
    done.unknown = sorted(set(unknown) - listed)
    done.added = len(add_prices(rows=rows, by=by, now=now))
    return done


def _new(
    done: Seeded, model: str, meter: str, amount: Decimal, book: Book, now: datetime, replace: bool
) -> Sequence[NewPrice]:
    """The row of a price that is another than the one in force, if it may be replaced."""
    amount = round(amount, 12)
    row = _in_force(model, meter, book, now)
    if row is not None and row.amount * _PER == amount * row.per and not getattr(row, "tiers", None):
        done.unchanged += 1
        return ()
    if row is not None and not replace and not row.source.startswith(SOURCE):
        done.kept.append(f"{model} {meter}")
        return ()
    return (
        NewPrice(model=model, meter=meter, amount=amount, currency=CURRENCY, per=_PER, book=book, source=source(now)),
    )


def _in_force(model: str, meter: str, book: Book, now: datetime) -> Any:
    named = {"model": model, "meter": meter, "currency": CURRENCY, "valid_from__lte": now}
    with as_staff():
        rows: Any = Price.objects.filter(plan=None, **named)
        if book.provider is not None:
            rows = ProviderPrice.objects.filter(provider=book.provider, **named)
        return rows.order_by("-valid_from").first()
