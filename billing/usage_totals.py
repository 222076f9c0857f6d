"""This month's tokens and costs of all tenants together, for metrics: sums of the ledger, so no process can miss any.

What is settled is settled by whichever process was there (workers, sweepers, the web), each may die, and all of it
stands in the ledger. A scrape adds up what is new: lines older than `_SETTLED` are summed once and remembered, because
a line that becomes visible later than that after its own time would need a transaction as long.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connections

_SETTLED = timedelta(minutes=10)


@dataclass(frozen=True)
class Total:
    """Units of a meter and their cost, in its currency."""

    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Total") -> "Total":
        return Total(self.quantity + other.quantity, self.cost + other.cost)


#: (model, meter, currency) → total.
Totals = dict[tuple[str, str, str], Total]


class MonthTotals:
    """The totals since the calendar month (UTC) began; they start anew with each month, in every process alike."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = datetime.min.replace(tzinfo=UTC)
        self._until = self._since
        self._known: Totals = {}

    def read(self, *, now: datetime) -> Totals:
        """The totals up to `now`.

        Raises:
            DatabaseError: the database is away.
        """
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        with self._lock:
            if self._since != month:
                self._since = self._until = month
                self._known = {}
            settled = max(self._until, now - _SETTLED)
            self._known = _add(self._known, _between(self._until, settled))
            self._until = settled
            return _add(self._known, _between(settled, now + _SETTLED))


def _add(one: Totals, other: Totals) -> Totals:
    total: defaultdict[tuple[str, str, str], Total] = defaultdict(Total, one)
    for key, value in other.items():
        total[key] += value
    return dict(total)


def _between(since: datetime, until: datetime) -> Totals:
    if since >= until:
        return {}
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM usage_totals(%s, %s)", [since, until])
        return {(model, meter, currency): Total(*sums) for model, meter, currency, *sums in cursor.fetchall()}
