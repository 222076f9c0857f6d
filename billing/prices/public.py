"""What providers publish as their prices, from the data of `genai-prices` that is installed: nothing is asked for.

The only module that knows that package. Its prices are in USD per million tokens, without discounts for batches and
tiers of service; where a longer prompt costs more, the price up to that length is taken, and said so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.data_snapshot import get_snapshot as _snapshot
from genai_prices.types import TieredPrices

from ..models import Meter

CURRENCY = "USD"
_NAMED = {
    "input_mtok": Meter.INPUT_TOKENS,
    "cache_read_mtok": Meter.CACHED_INPUT_TOKENS,
    "output_mtok": Meter.OUTPUT_TOKENS,
}


@dataclass(frozen=True)
class Published:
    """USD per million tokens by meter; `longer`: some are higher for prompts of more than that many tokens."""

    amounts: Mapping[str, Decimal]
    longer: int | None = None


def source(now: datetime) -> str:
    """What a row that is taken from here says of itself."""
    return f"{SOURCE} {version(SOURCE)}, {now:%Y-%m-%d}"


SOURCE = "genai-prices"


def published(*, model: str, now: datetime, provider: str | None = None, url: str | None = None) -> Published | None:
    """What a provider takes for tokens of `model`, by its own name for it; None where nobody published that.

    Args:
        provider: as `genai-prices` names it, such as `aws`; else it is recognised by its API's address. Without either
            nobody is: a name alone may be anybody's.
    """
    if provider is None and not url:
        return None
    snapshot: DataSnapshot = _snapshot()
    try:
        _, found = snapshot.find_provider_model(model, None, provider, url)
    except LookupError:
        return None
    prices = found.get_prices(now)
    amounts, longer = {}, None
    for name, meter in _NAMED.items():
        amount = getattr(prices, name, None)
        if isinstance(amount, TieredPrices):
            longer, amount = amount.tiers[0].start if amount.tiers else longer, amount.base
        if amount is not None:
            amounts[str(meter)] = amount
    return Published(amounts, longer) if amounts else None
