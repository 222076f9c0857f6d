"""What cannot be a price or an allowance, said clearly; the database refuses the worst of it too."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tenants.errors import InvalidRequest

from ..models import Meter

if TYPE_CHECKING:
    from .books import NewAllowance, NewPrice

#: A call whose worker died is charged at its hold: it has no price of its own.
PRICED = tuple(str(meter) for meter in Meter if meter != Meter.UNRECONCILED)
_LARGEST = Decimal(10) ** 12
_MOST_PER = 2**31 - 1
_MOST_UNITS = 2**63 - 1
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_MOST_TIERS = 50


def price(row: "NewPrice", *, currency: str) -> None:
    """Raises `InvalidRequest`, naming the field at fault."""
    if not row.model:
        raise InvalidRequest("Missing 'model'.", param="model")
    _name(row.model)
    _meter(row.meter)
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise InvalidRequest("Invalid 'currency': three capital letters, as in USD.", param="currency")
    amount(row.amount)
    if not 1 <= row.per <= _MOST_PER:
        raise InvalidRequest(f"Invalid 'per': a whole number from 1 to {_MOST_PER}.", param="per")
    _source(row.source)


def allowance(row: "NewAllowance") -> None:
    """Raises `InvalidRequest`, naming the field at fault."""
    _name(row.model)
    _meter(row.meter)
    if not 0 <= row.quantity <= _MOST_UNITS:
        raise InvalidRequest("Invalid 'quantity': a whole number from 0.", param="quantity")
    if row.valid_from.day != 1 or not _EARLIEST.date() <= row.valid_from < _LATEST.date():
        raise InvalidRequest("Invalid 'valid_from': the first day of a month, as in 2026-07-01.", param="valid_from")
    _source(row.source)


def amount(value: Decimal, *, param: str = "amount") -> Decimal:
    """An amount that can be kept."""
    if not value.is_finite() or not 0 <= value < _LARGEST or value != round(value, 12):
        raise InvalidRequest(f"Invalid '{param}': not negative, and at most 12 digits after the point.", param=param)
    return value


def tiers(given: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Tiers as a row keeps them: [[units, amount as text], …].

    Raises:
        InvalidRequest: one is no pair, or does not begin after the one before it.
    """
    if not isinstance(given, list | tuple) or len(given) > _MOST_TIERS:
        raise InvalidRequest(f"Invalid 'tiers': a list of at most {_MOST_TIERS} [units, amount].", param="tiers")
    made = [_tier(tier) for tier in given]
    if any(later[0] <= sooner[0] for sooner, later in pairwise(made)):
        raise InvalidRequest("Invalid 'tiers': each begins after the one before it.", param="tiers")
    return made


def _tier(tier: Any) -> list[Any]:
    wrong = InvalidRequest("Invalid 'tiers': each is [units from 1, amount], the amount as text.", param="tiers")
    if not isinstance(tier, list | tuple) or len(tier) != 2 or type(tier[0]) is not int:
        raise wrong
    if not 0 < tier[0] <= _MOST_UNITS or not isinstance(tier[1], str | Decimal | int) or isinstance(tier[1], bool):
        raise wrong
    try:
        return [tier[0], f"{amount(Decimal(tier[1]), param='tiers'):f}"]
    except InvalidOperation as error:
        raise wrong from error


def moment(given: datetime | None, now: datetime) -> datetime:
    """When a price begins: at `now` where nobody says."""
    if given is None:
        return now
    if given.tzinfo is None:
        raise InvalidRequest(
            "Invalid 'valid_from': a moment with its offset, as in 2026-07-01T00:00:00Z.", param="valid_from"
        )
    if not _EARLIEST <= given < _LATEST:
        raise InvalidRequest("Invalid 'valid_from': from the year 2000 to 2099.", param="valid_from")
    return given


def _name(model: str) -> None:
    if len(model) > 200 or not model.isprintable() or model != model.strip():
        raise InvalidRequest("Invalid 'model': at most 200 characters, as the catalogue has them.", param="model")


def _meter(name: str) -> None:
    if name not in PRICED:
        raise InvalidRequest(f"Unknown meter '{name}'. Known: {', '.join(PRICED)}.", param="meter")


def _source(text: str) -> None:
    if len(text) > 200 or not text.isprintable():
        raise InvalidRequest("Invalid 'source': one line of at most 200 characters.", param="source")
