"""The ledger's side of a bill, read as staff over all tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connections

from tenants.scope import as_staff

from ..models import Meter

_LINES = Path(__file__).with_name("ledger.sql").read_text()
_TOTALS = """
SELECT model, meter, day, sum(quantity)::bigint, coalesce(sum(provider_cost) FILTER (WHERE currency = %(currency)s), 0),
       coalesce(sum(quantity) FILTER (WHERE provider_cost IS NULL), 0)::bigint,
       coalesce(sum(quantity) FILTER (WHERE currency <> %(currency)s), 0)::bigint,
       coalesce(sum(quantity) FILTER (WHERE estimated), 0)::bigint,
       coalesce(sum(quantity) FILTER (WHERE begun < day), 0)::bigint
  FROM net WHERE meter <> %(unreconciled)s GROUP BY model, meter, day"""
_LATE = """
SELECT model, meter, begun, sum(quantity)::bigint FROM net
 WHERE meter <> %(unreconciled)s AND begun < day GROUP BY model, meter, begun"""
_SHARES = """
SELECT tenant_id, model, meter, day, (array_agg(id ORDER BY id))[1], sum(quantity)::bigint
  FROM net WHERE meter <> %(unreconciled)s AND currency = %(currency)s AND quantity > 0
 GROUP BY tenant_id, model, meter, day ORDER BY tenant_id, model, meter, day"""
_UNRECONCILED = """
SELECT tenant_id, id, model, day, cost, coalesce(provider_cost, 0), corrected FROM net
 WHERE meter = %(unreconciled)s AND currency = %(currency)s ORDER BY day, tenant_id, id"""
_PRICES = """
SELECT DISTINCT ON (tenant_id, model, meter) tenant_id, model, meter, unit_price / per
  FROM billing_usagerecord
 WHERE model = ANY (%(models)s) AND tenant_id = ANY (%(tenants)s) AND corrects IS NULL AND meter <> %(unreconciled)s
   AND currency = %(currency)s AND occurred_at < %(end)s
 ORDER BY tenant_id, model, meter, occurred_at DESC"""


@dataclass(frozen=True)
class Metered:
    """What was metered of one model's meter in a day. `cost`: what the platform should pay, in the bill's currency.

    `unpriced`: units whose cost for the platform is not known; `foreign`: units that were charged in another currency;
    `estimated`: units that we counted ourselves; `late_in`: units of calls that began on an earlier day.
    """

    units: int
    cost: Decimal
    unpriced: int
    foreign: int
    estimated: int
    late_in: int


@dataclass(frozen=True)
class Share:
    """A tenant's part of one model's meter in a day, and the line that a correction of it names."""

    tenant_id: UUID
    line_id: UUID
    units: int


@dataclass(frozen=True)
class Unknown:
    """A call whose worker died: charged at its hold. `corrected`: somebody has looked into it already."""

    tenant_id: UUID
    line_id: UUID
    charged: Decimal
    provider_cost: Decimal
    corrected: bool


Place = tuple[str, str, date]


class Ledger:
    """The lines of some models between two days (both included), as one provider could have billed them."""

    def __init__(self, *, provider: str, currency: str, models: Sequence[str], first: date, last: date) -> None:
        self._parameters: dict[str, Any] = {
            "provider": provider, "currency": currency, "models": list(models),
            "start": datetime.combine(first, time.min, UTC),
            "end": datetime.combine(last, time.min, UTC) + timedelta(days=1),
            "unreconciled": Meter.UNRECONCILED.value,
        }  # fmt: skip

    def totals(self) -> dict[Place, Metered]:
        """(model, meter, day) → what was metered."""
        return {row[:3]: Metered(*row[3:]) for row in self._rows(_LINES + _TOTALS)}

    def late_out(self) -> dict[Place, int]:
        """(model, meter, day) → units of calls that began in the day and were settled on a later one."""
        return {row[:3]: row[3] for row in self._rows(_LINES + _LATE)}

    def shares(self) -> dict[Place, list[Share]]:
        """(model, meter, day) → each tenant's part, in the bill's currency."""
        found: dict[Place, list[Share]] = {}
        for tenant_id, model, meter, day, line_id, units in self._rows(_LINES + _SHARES):
            found.setdefault((model, meter, day), []).append(Share(tenant_id, line_id, units))
        return found

    def unreconciled(self) -> dict[tuple[str, date], list[Unknown]]:
        """(model, day) → the calls that were charged at their hold."""
        found: dict[tuple[str, date], list[Unknown]] = {}
        for tenant_id, line_id, model, day, *rest in self._rows(_LINES + _UNRECONCILED):
            found.setdefault((model, day), []).append(Unknown(tenant_id, line_id, *rest))
        return found

    def unit_prices(self, tenants: Sequence[UUID]) -> dict[tuple[UUID, str, str], Decimal]:
        """(tenant, model, meter) → what a unit cost the tenant when it was charged for one last."""
        rows = self._rows(_PRICES, tenants=list(tenants)) if tenants else []
        return {(tenant_id, model, meter): price for tenant_id, model, meter, price in rows}

    def _rows(self, query: str, **more: Any) -> list[tuple[Any, ...]]:
        with as_staff(), connections["staff"].cursor() as cursor:
            cursor.execute(query, {**self._parameters, **more})
            return list(cursor.fetchall())
