"""Which price holds: a contract's before the plan's before the list's, the newest that is valid at the moment."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q

from tenants.errors import AtriumError
from tenants.scope import tenant_scope

from .models import Meter, Price, PriceBase, Subscription, TenantPrice

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
class UnitPrice:
    """`amount` buys `per` units of `meter` on `model`."""

    id: UUID
    model: str
    meter: str
    amount: Decimal
    per: int

    def cost(self, quantity: int) -> Decimal:
        """What `quantity` units cost, unrounded."""
        return self.amount * quantity / self.per

    def as_json(self) -> dict[str, Any]:
        """For the reservation, which keeps the prices it was taken at."""
        return {
            "id": str(self.id), "model": self.model, "meter": self.meter, "amount": str(self.amount), "per": self.per,
        }  # fmt: skip


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
    valid = Q(model__in=models, currency=currency, valid_from__lte=now)
    with tenant_scope():
        plans = Subscription.objects.values_list("plan_id", flat=True)
        rows: list[PriceBase] = [
            *Price.objects.filter(valid, plan=None).order_by("valid_from"),
            *Price.objects.filter(valid, plan_id__in=plans).order_by("valid_from"),
            *TenantPrice.objects.filter(valid).order_by("valid_from"),
        ]
    # Later rows win: list, then plan, then contract, each from the oldest to the newest.
    return {(row.model, row.meter): unit_price(row) for row in rows}


def unit_price(row: PriceBase) -> UnitPrice:
    """A row's price."""
    return UnitPrice(row.pk, row.model, row.meter, row.amount, row.per)


def require(needs: Iterable[tuple[str, str]], found: Collection[tuple[str, str]], *, currency: str) -> None:
    """Raises `UnpricedModel`, naming what of `needs` is not among the (model, meter) pairs `found`."""
    if missing := sorted(f"{model} {meter}" for model, meter in needs if (model, meter) not in found):
        raise UnpricedModel(f"No price in {currency} for {', '.join(missing)}. Add one before using the model.")
