"""Whether the books agree: lines with their prices, sums with lines, budgets' accounts with the ledger and with holds.

What does not is a row (`LedgerFault`), an error in the log, which Sentry hears, and a metric, until it is mended.
"""

from collections import Counter
from datetime import date, datetime, timedelta

import structlog
from django.db import connection, transaction

from .models import LedgerFault

log = structlog.get_logger("atrium.billing")
#: What `ledger_faults` looks for.
KINDS = ("sums", "cost", "month", "calls", "budget", "holds")
_FIRST, _LAST = date(1, 1, 1), date(9999, 12, 31)
_LOGGED = 100


def check(*, now: datetime, days: int | None = None) -> int:
    """Check the last `days` days (UTC), today included, or all there are; returns how many faults are new.

    Each fault is logged once, until it was mended and comes back. Logged before the commit that notes it: should this
    process die between the two, an alarm comes twice, not never.
    """
    since = _FIRST if days is None else now.date() - timedelta(days=days - 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM check_ledger(%s, %s, %s)", [since, _LAST, now])
        faults = cursor.fetchall()
        for kind, pseudonym, subject, expected, found in faults[:_LOGGED]:
            log.error(
                "the ledger does not add up",
                kind=kind,
                tenant_id=str(pseudonym),
                subject=subject,
                expected=str(expected),
                found=str(found),
                of=len(faults),
            )
    return len(faults)


def open_faults() -> dict[str, int]:
    """Kind of fault → how many there are that are not mended."""
    found = Counter(LedgerFault.objects.filter(resolved_at=None).values_list("kind", flat=True))
    return {kind: found[kind] for kind in KINDS}
