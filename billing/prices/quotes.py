"""Which price holds: a contract's before the plan's before the list's, the newest that is valid at the moment.

A quote is kept in the reservation, so that a call is charged at the prices it was admitted at, whatever changes
meanwhile. Beside what the tenant pays it says what the list price is, what the platform's provider takes, and which
allowance pays first.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tenants.errors import AtriumError

from ..models import Meter, PriceBase
from .in_force import InForce, Row, read

#: A meter that needs no price of its own → the meter whose price it has then. Such a price may be dearer or cheaper; a
#: token that has it is counted under its own meter all the same.
PRICED_AS = {
    str(Meter.CACHED_INPUT_TOKENS): str(Meter.INPUT_TOKENS),
    str(Meter.REASONING_TOKENS): str(Meter.OUTPUT_TOKENS),
}


class UnpricedModel(AtriumError):
    """A model has no price for a meter it needs: refused at configuration, never priced at zero."""

    status = 400
    type = "invalid_request_error"
    code = "unpriced_model"


@dataclass(frozen=True)
class Allowance:
    """`quantity` units a calendar month (UTC) that cost nothing; prices with the same id share them."""

    id: UUID
    quantity: int


@dataclass(frozen=True)
class UnitPrice:
    """`amount` buys `per` units of `meter` on `model`.

    `tiers` are (units, amount): beyond that many units of the tenant's month, `per` units cost that. `list_amount` is
    the list price of `per` units, `provider_amount` what the platform pays for them, and `provider_amounts` what it pays
    to single providers; None and nothing where that is not known.
    """

    id: UUID
    model: str
    meter: str
    amount: Decimal
    per: int
    tiers: tuple[tuple[int, Decimal], ...] = ()
    list_amount: Decimal | None = None
    provider_amount: Decimal | None = None
    provider_amounts: Mapping[str, Decimal] = field(default_factory=dict)
    allowance: Allowance | None = None

    @property
    def each(self) -> Decimal:
        """What one unit costs at most: in the dearest tier, without an allowance. What holds are taken by."""
        return max((self.amount, *(amount for _, amount in self.tiers))) / self.per

    def cost(self, quantity: int) -> Decimal:
        """What `quantity` units cost at most, unrounded."""
        return max((self.amount, *(amount for _, amount in self.tiers))) * quantity / self.per

    def as_json(self) -> dict[str, Any]:
        """For the reservation, which keeps the prices it was taken at; what does not apply is left out."""
        said: dict[str, Any] = {
            "id": str(self.id), "model": self.model, "meter": self.meter, "amount": str(self.amount), "per": self.per,
        }  # fmt: skip
        if self.tiers:
            said["tiers"] = [[0, str(self.amount)], *([units, short(amount)] for units, amount in self.tiers)]
        if self.list_amount is not None:
            said["list"] = short(self.list_amount)
        if self.provider_amount is not None:
            said["cost"] = short(self.provider_amount)
        if self.provider_amounts:
            said["costs"] = {name: short(amount) for name, amount in self.provider_amounts.items()}
        if self.allowance is not None:
            said["allowance"] = {"id": str(self.allowance.id), "quantity": self.allowance.quantity}
        return said


def short(amount: Decimal) -> str:
    """An amount as JSON keeps it: every digit, no exponent, none of the zeros that the database pads it with."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


Quote = Mapping[tuple[str, str], UnitPrice]


def price_of(prices: Quote, model: str, meter: str) -> UnitPrice:
    """The price of a meter, by its own or by the one that stands in for it (`PRICED_AS`).

    Raises:
        KeyError: it has none.
    """
    own = prices.get((model, meter))
    return own or prices[model, PRICED_AS.get(meter, meter)]


def quote(
    *, needs: Iterable[tuple[str, str]], currency: str, now: datetime, wishes: Iterable[tuple[str, str]] = ()
) -> Quote:
    """The current tenant's prices in force at `now`: (model, meter) → price.

    Args:
        needs: the (model, meter) pairs that must have one.
        wishes: those that are in the quote if they have one, such as the meters of `PRICED_AS`.

    Raises:
        UnpricedModel: one of the needs has none in this currency.
    """
    wanted = set(needs)
    wished = wanted | set(wishes)
    found = prices_of(models={model for model, _ in wished}, currency=currency, now=now)
    require(wanted, found, currency=currency)
    return {need: price for need, price in found.items() if need in wished}


def prices_of(*, models: Collection[str], currency: str, now: datetime) -> dict[tuple[str, str], UnitPrice]:
    """Every price of `models` in force at `now` for the current tenant, by (model, meter), whatever meters they have."""
    found = read(models=models, currency=currency, now=now)
    # Later ones win.
    rows = {**found.rows("list"), **found.rows("plan"), **found.rows("contract")}
    return {key: _priced(row, found) for key, row in rows.items()}


def _priced(row: Row, found: InForce) -> UnitPrice:
    listed = found.rows("list").get((row.model, row.meter))
    takes = {provider: _for(row.per, cost) for provider, cost in found.costs(row.model, row.meter).items()}
    return UnitPrice(
        id=row.id,
        model=row.model,
        meter=row.meter,
        amount=row.amount,
        per=row.per,
        tiers=tuple((int(units), Decimal(amount)) for units, amount in row.tiers),
        list_amount=None if listed is None else _for(row.per, listed),
        # Who answers is known afterwards; until then, and where nobody says, it is the one that takes the most.
        provider_amount=takes.get("", max(takes.values(), default=None)),
        provider_amounts={provider: amount for provider, amount in takes.items() if provider},
        allowance=_allowance(row, found),
    )


def _for(per: int, row: Row) -> Decimal:
    """A row's amount for `per` units."""
    return row.amount if row.per == per else row.amount * per / row.per


def _allowance(row: Row, found: InForce) -> Allowance | None:
    """A contract's before the plan's, one of the model before one of any, one of the meter before that of the meter
    whose price it may have: who includes input tokens includes those that the provider had in its cache."""
    for kind in ("contract_allowance", "plan_allowance"):
        for meter in (row.meter, PRICED_AS.get(row.meter)):
            for model in (row.model, ""):
                if meter and (given := found.rows(kind).get((model, meter))):
                    return Allowance(given.id, int(given.amount)) if given.amount else None
    return None


def unit_price(row: PriceBase) -> UnitPrice:
    """A row's price by itself."""
    return UnitPrice(row.pk, row.model, row.meter, row.amount, row.per)


def require(needs: Iterable[tuple[str, str]], found: Collection[tuple[str, str]], *, currency: str) -> None:
    """Raises `UnpricedModel`, naming what of `needs` is not among the (model, meter) pairs `found`."""
    if missing := sorted(f"{model} {meter}" for model, meter in needs if (model, meter) not in found):
        raise UnpricedModel(f"No price in {currency} for {', '.join(missing)}. Add one before using the model.")
