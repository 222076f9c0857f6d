"""Services that no model does: under which name they stand in the price books and the ledger, and at what price.

They are metered where they have a price in the tenant's currency; without one they cost nothing and are not counted.
"""

import time
from datetime import datetime
from uuid import UUID

from tenants.memory import Memory
from tenants.scope import current_tenant

from ..models import Meter
from .quotes import Quote, UnitPrice, prices_of

#: Pages that are read by optical character recognition.
OCR = ("ocr", str(Meter.OCR_PAGES))
#: Bytes of files and vectors that are kept, times hours.
STORAGE = ("file-storage", str(Meter.STORAGE_BYTE_HOURS))
#: Searches of vector stores.
SEARCH = ("file-search", str(Meter.SEARCH_CALLS))
SERVICES = (OCR, STORAGE, SEARCH)

_REMEMBER_SECONDS = 3.0
_remembered: Memory[tuple[UUID, str], Quote] = Memory(_REMEMBER_SECONDS)


def service_prices(*, currency: str, now: datetime) -> Quote:
    """The prices of those services that have one for the current tenant; looked up every few seconds at most."""
    asked, started = (current_tenant(), currency), time.monotonic()
    found = _remembered.get(asked)
    if found is None:
        prices = prices_of(models=[name for name, _ in SERVICES], currency=currency, now=now)
        found = {key: price for key, price in prices.items() if key in SERVICES}
        _remembered.keep(asked, found, since=started)
    return found


def service_price(service: tuple[str, str], *, currency: str, now: datetime) -> UnitPrice | None:
    """The price of one service for the current tenant; None where it has none."""
    return service_prices(currency=currency, now=now).get(service)


def forget_services() -> None:
    """Drop what this process remembers."""
    _remembered.clear()
