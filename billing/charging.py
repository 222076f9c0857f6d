"""Charges that no hold precedes: usage that is known only when it is over, such as what was stored for an hour.

It is charged once, to the last digit, and reaches the budgets of its period above their limits too: they refuse the
next call, not what has happened.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import orjson
from django.db import connection

from tenants.errors import InvalidRequest
from tenants.models import Tenant
from tenants.scope import tenant_scope

from .models import Meter
from .prices import Quote
from .reservations import UsageLine, lines_json, prices_json


def charge_spend(
    *,
    request_id: UUID,
    operation: str,
    lines: Sequence[UsageLine],
    quote: Quote,
    currency: str,
    at: datetime,
    key_id: UUID | None = None,
    end_user: str = "",
    tags: Mapping[str, str] | None = None,
) -> Decimal | None:
    """Write the current tenant's usage to the ledger and its cost to the budgets above `key_id`; returns the cost.

    Idempotent by (request, attempt, meter): lines that stand in the ledger are left out, whatever they say; None where
    all of them do. Empty lines are left out too.

    Args:
        at: when it was used, with a time zone; it stands in that month (UTC), or the next that is open.

    Raises:
        InvalidRequest: a meter that is unknown, or has no price in `quote`; a negative quantity; another currency than
            the tenant's. Nothing is written.
    """
    _check(lines, quote)
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        own = Tenant.objects.get(id=tenant_id).currency
        if currency != own:
            raise InvalidRequest(f"The tenant is billed in {own}, not in {currency}.", param="currency")
        cursor.execute(
            "SELECT charge_spend(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                tenant_id, request_id, key_id, operation, end_user, orjson.dumps(tags or {}).decode(), currency,
                prices_json(quote), lines_json(lines), at,
            ],
        )  # fmt: skip
        return cursor.fetchone()[0]


def _check(lines: Sequence[UsageLine], quote: Quote) -> None:
    for line in lines:
        if line.meter not in Meter.values:
            raise InvalidRequest(f"There is no meter '{line.meter}'. Known: {', '.join(Meter.values)}.", param="meter")
        if line.quantity < 0:
            raise InvalidRequest(f"{line.quantity} {line.meter} cannot be charged: less than none.", param="quantity")
        if (line.model, line.priced_as or line.meter) not in quote:
            raise InvalidRequest(f"No price was given for {line.model} {line.meter}.", param="lines")
