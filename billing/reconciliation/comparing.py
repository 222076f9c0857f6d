"""A bill beside the ledger: what differs, by model, meter and day, and why."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from tenants.scope import as_staff

from ..models import BillLine, Meter, ProviderBill
from .ledger import Ledger, Metered, Place, Unknown
from .mappings import Mappings, mappings_of

#: A model's meter in a day may differ by so much of the currency: providers round each of their lines.
TOLERANCE = Decimal("0.0001")
#: Why something differs.
REASONS = {
    "unmetered": "The provider billed units that the ledger does not have.",
    "unbilled": "The ledger has units that the provider did not bill.",
    "late": "Calls that began before midnight (UTC) were settled after it: the units stand in the day beside it.",
    "unreconciled": "Workers died with calls under way; those were charged at their holds.",
    "estimated": "The provider gave no count for some calls; ours stands in the ledger.",
    "unpriced": "What the provider takes for some of the units was not known when they were metered.",
    "price": "The provider took another price than the one that was known.",
    "other_currency": "Some of the units were charged in another currency than the bill's; their cost is not compared.",
}
_NOTHING = Metered(0, Decimal(0), 0, 0, 0, 0)
#: Meters that a provider bills as another one, unless some SKU of its is theirs.
_BILLED_AS = {Meter.REASONING_TOKENS: Meter.OUTPUT_TOKENS, Meter.CACHED_INPUT_TOKENS: Meter.INPUT_TOKENS}


@dataclass(frozen=True)
class MeterDay:
    """One model's meter in one day."""

    model: str
    meter: str
    day: date
    billed_units: int
    billed_cost: Decimal
    metered: Metered
    reasons: tuple[str, ...] = ()

    @property
    def surplus(self) -> int:
        """Units that were billed and not metered; below nothing where it is the other way round."""
        return self.billed_units - self.metered.units


@dataclass(frozen=True)
class Unmapped:
    """A SKU of the bill that nobody said what it is."""

    service: str
    sku: str
    unit: str
    quantity: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Comparison:
    """All of a bill: `days` where anything differs, and the sums of what was mapped."""

    bill: ProviderBill
    places: list[MeterDay]
    unknown: dict[tuple[str, date], list[Unknown]]
    unmapped: list[Unmapped]
    ledger: Ledger
    mappings: Mappings

    @property
    def differences(self) -> list[MeterDay]:
        """What differs."""
        return [place for place in self.places if place.reasons]

    def billed_as(self, model: str, meter: str) -> str:
        """The meter of the bill in which a meter of the ledger is counted."""
        return _billed_as(self.mappings, model, meter)


def compare(bill: ProviderBill) -> Comparison:
    """Everything that differs between a bill and the ledger as it is now."""
    mappings = mappings_of(bill.provider)
    billed, unmapped = _billed(bill, mappings)
    # A day more at either end: what is late stands there.
    edges = {"first": bill.first_day - timedelta(days=1), "last": bill.last_day + timedelta(days=1)}
    ledger = Ledger(provider=bill.provider, currency=bill.currency, models=mappings.models, **edges)
    metered = _folded(ledger.totals(), mappings)
    late: dict[Place, int] = defaultdict(int)
    for (model, meter, day), units in ledger.late_out().items():
        late[model, _billed_as(mappings, model, meter), day] += units
    unknown = ledger.unreconciled()
    within = {place for place in metered if bill.first_day <= place[2] <= bill.last_day}
    places = [
        _place(place, billed.get(place, (Decimal(0), Decimal(0))), metered.get(place, _NOTHING))
        for place in sorted(billed.keys() | within, key=lambda place: (place[0], place[2], place[1]))
    ]
    places = [
        replace(place, reasons=tuple(_reasons(place, late[place.model, place.meter, place.day], unknown)))
        for place in places
    ]
    billed_models = {place[0] for place in billed}
    known_days = {
        (model, day): calls
        for (model, day), calls in unknown.items()
        if model in billed_models and bill.first_day <= day <= bill.last_day
    }
    places += [_died(model, day, calls) for (model, day), calls in known_days.items()]
    return Comparison(bill, places, known_days, unmapped, ledger, mappings)


def _died(model: str, day: date, calls: list[Unknown]) -> MeterDay:
    """The calls of a day that were charged at their holds, as a line of their own."""
    metered = replace(_NOTHING, units=len(calls), cost=sum((call.provider_cost for call in calls), Decimal(0)))
    reasons = () if all(call.corrected for call in calls) else ("unreconciled",)
    return MeterDay(model, Meter.UNRECONCILED.value, day, 0, Decimal(0), metered, reasons)


def _place(place: Place, billed: tuple[Decimal, Decimal], metered: Metered) -> MeterDay:
    return MeterDay(*place, int(billed[0].to_integral_value()), billed[1], metered)


def _billed(bill: ProviderBill, mappings: Mappings) -> tuple[dict[Place, tuple[Decimal, Decimal]], list[Unmapped]]:
    """(model, meter, day) → (units, cost), and what is mapped to nothing."""
    found: dict[Place, tuple[Decimal, Decimal]] = {}
    other: dict[tuple[str, str, str], tuple[Decimal, Decimal]] = {}
    with as_staff():
        lines = list(
            BillLine.objects.filter(bill=bill).values_list("day", "service", "sku", "unit", "quantity", "cost")
        )
    for day, service, sku, unit, quantity, cost in lines:
        mapping = mappings.of(sku)
        if mapping is None:
            before = other.get((service, sku, unit), (Decimal(0), Decimal(0)))
            other[service, sku, unit] = (before[0] + quantity, before[1] + cost)
            continue
        place = (mapping.model, mapping.meter, day)
        before = found.get(place, (Decimal(0), Decimal(0)))
        found[place] = (before[0] + quantity * mapping.units, before[1] + cost)
    return found, [Unmapped(*key, *sums) for key, sums in sorted(other.items(), key=lambda item: -abs(item[1][1]))]


def _billed_as(mappings: Mappings, model: str, meter: str) -> str:
    folded = _BILLED_AS.get(Meter(meter))
    return meter if folded is None or mappings.maps(model, meter) else folded.value


def _folded(totals: dict[Place, Metered], mappings: Mappings) -> dict[Place, Metered]:
    found: dict[Place, Metered] = {}
    for (model, meter, day), metered in totals.items():
        place = (model, _billed_as(mappings, model, meter), day)
        found[place] = _sum((found.get(place, _NOTHING), metered))
    return found


def _sum(parts: Iterable[Metered]) -> Metered:
    columns = zip(*((p.units, p.cost, p.unpriced, p.foreign, p.estimated, p.late_in) for p in parts), strict=True)
    units, cost, *rest = (sum(column) for column in columns)
    return Metered(int(units), Decimal(cost), *map(int, rest))


def _reasons(place: MeterDay, late_out: int, unknown: dict[tuple[str, date], list[Unknown]]) -> Iterable[str]:
    metered, surplus = place.metered, place.surplus
    calls = unknown.get((place.model, place.day), [])
    if surplus:
        if 0 < surplus <= late_out or 0 < -surplus <= metered.late_in:
            yield "late"
        elif surplus > 0 and calls:
            yield "unreconciled"
        elif abs(surplus) <= metered.estimated:
            yield "estimated"
        else:
            yield "unmetered" if surplus > 0 else "unbilled"
    if metered.foreign:
        yield "other_currency"
    if metered.unpriced:
        yield "unpriced"
    elif place.billed_units and metered.units and not metered.foreign and _price_differs(place):
        yield "price"


def expected_cost(place: MeterDay) -> Decimal:
    """What the metered units cost by the bill's own price of the day: its cost, where it has the same units."""
    if not place.surplus:
        return place.billed_cost
    return round(place.billed_cost * place.metered.units / place.billed_units, 12)


def _price_differs(place: MeterDay) -> bool:
    return abs(expected_cost(place) - place.metered.cost) > TOLERANCE
