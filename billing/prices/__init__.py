"""What things cost: the price books, and which of their rows holds for a tenant at a moment."""

from .quotes import (
    PRICED_AS,
    Allowance,
    Quote,
    UnitPrice,
    UnpricedModel,
    price_of,
    prices_of,
    quote,
    require,
    unit_price,
)

__all__ = [
    "PRICED_AS",
    "Allowance",
    "Quote",
    "UnitPrice",
    "UnpricedModel",
    "price_of",
    "prices_of",
    "quote",
    "require",
    "unit_price",
]
