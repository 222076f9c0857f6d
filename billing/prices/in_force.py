"""The rows of the price books that are in force for a tenant at a moment, read in one round trip."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from tenants.scope import tenant_scope


@dataclass(frozen=True)
class Row:
    """A row of `prices_in_force`: see there."""

    kind: str
    id: UUID
    model: str
    meter: str
    provider: str
    amount: Decimal
    per: int
    tiers_json: str | None

    @property
    def tiers(self) -> list[list[Any]]:
        """[[units, amount], …], as the row has them."""
        return json.loads(self.tiers_json) if self.tiers_json else []


@dataclass(frozen=True)
class InForce:
    """Rows by kind and (model, meter)."""

    _rows: dict[str, dict[tuple[str, str], Row]]
    _costs: dict[tuple[str, str], dict[str, Row]]

    def rows(self, kind: str) -> dict[tuple[str, str], Row]:
        """Of one kind but `cost`."""
        return self._rows.get(kind, {})

    def costs(self, model: str, meter: str) -> dict[str, Row]:
        """What the platform pays, by provider; '' is any."""
        return self._costs.get((model, meter), {})


def read(*, models: Collection[str], currency: str, now: datetime) -> InForce:
    """What is in force at `now` for the current tenant."""
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM prices_in_force(%s, %s, %s, %s)", [tenant_id, list(models), currency, now])
        found = [Row(*columns) for columns in cursor.fetchall()]
    rows: dict[str, dict[tuple[str, str], Row]] = {}
    costs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in found:
        if row.kind == "cost":
            costs.setdefault((row.model, row.meter), {})[row.provider] = row
        else:
            rows.setdefault(row.kind, {})[row.model, row.meter] = row
    return InForce(rows, costs)
