"""What a row of a FOCUS file says, or why it says nothing that can be used."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from .files import Row

#: FOCUS's categories of charges; all but usage are summed up beside it.
USAGE = "Usage"
_CATEGORIES = (USAGE, "Purchase", "Tax", "Credit", "Adjustment")
_LARGEST = Decimal(10) ** 12
_DIGITS = 12


class Junk(Exception):
    """The row makes no sense; the message says what of it."""


@dataclass(frozen=True)
class Charge:
    """A row. `sku` is the usage type where the file has it (AWS's SkuId names nothing to people), else the SKU's id."""

    day: date
    category: str
    service: str
    sku: str
    unit: str
    quantity: Decimal
    cost: Decimal
    currency: str


def charge_of(row: Row) -> Charge:
    """The row, checked.

    Raises:
        Junk: a cell is missing or is not what its column holds.
    """
    if not row:
        raise Junk("it has fewer cells than the header")
    category = _text(row, "ChargeCategory")
    if category not in _CATEGORIES:
        raise Junk(f"ChargeCategory '{category[:40]}' is none of FOCUS's")
    currency = _text(row, "BillingCurrency")
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise Junk(f"BillingCurrency '{currency[:40]}' is no currency code")
    usage = category == USAGE
    return Charge(
        day=_day(row),
        category=category,
        service=_text(row, "ServiceName")[:200],
        sku=_sku(row) if usage else "",
        unit=(_text(row, "ConsumedUnit") or _text(row, "PricingUnit"))[:100] if usage else "",
        quantity=_number(row, "ConsumedQuantity", "PricingQuantity", missing=Decimal(0)) if usage else Decimal(0),
        cost=_number(row, "EffectiveCost", "BilledCost"),
        currency=currency,
    )


def _day(row: Row) -> date:
    """The day (UTC) in which the charge's period lies."""
    begins, ends = _moment(row, "ChargePeriodStart"), _moment(row, "ChargePeriodEnd")
    if ends <= begins:
        raise Junk("ChargePeriodEnd is not after ChargePeriodStart")
    usage = _text(row, "ChargeCategory") == USAGE
    if usage and (ends - timedelta(microseconds=1)).date() != begins.date():
        raise Junk("it covers more than one day (UTC): export the bill by hours or days")
    return begins.date()


def _moment(row: Row, name: str) -> datetime:
    value = row.get(name)
    if not isinstance(value, datetime):
        text = _text(row, name)
        try:
            return _read_time(text)
        except ValueError as error:
            raise Junk(f"{name} '{text[:40]}' is no time") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@lru_cache(maxsize=4_096)
def _read_time(text: str) -> datetime:
    """A bill has many rows of each hour."""
    value = datetime.fromisoformat(text.removesuffix(" UTC"))
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _sku(row: Row) -> str:
    names = ("x_UsageType", "SkuId", "SkuMeter", "ChargeDescription")
    found = next((text for name in names if (text := _text(row, name))), "")
    if not found:
        raise Junk(f"none of {', '.join(names)} says what it is for")
    return found[:300]


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).replace("\x00", "").strip()


def _number(row: Row, *names: str, missing: Decimal | None = None) -> Decimal:
    """The first of `names` that says something, at 12 digits: AWS writes amounts as floating-point numbers."""
    name, text = next(((name, text) for name in names if (text := _text(row, name))), (names[0], ""))
    if not text:
        if missing is None:
            raise Junk(f"{name} is empty")
        return missing
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Junk(f"{name} '{text[:40]}' is no number") from error
    if not value.is_finite() or abs(value) >= _LARGEST:
        raise Junk(f"{name} '{text[:40]}' is out of range")
    return round(value, _DIGITS)


def told(problems: list[tuple[int, str]]) -> list[dict[str, Any]]:
    """Junk as an error's data has it."""
    return [{"line": line, "message": message} for line, message in problems]
