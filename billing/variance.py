"""Usage above a hold: an upstream that reports more than it was asked for is the platform's to pay, and to look into.

The account is written with the settlement (`settle_spend`), so it is the sum of the ledger's variances, exactly. Alerts
are rows too, one an hour for each tenant's model; a sweep raises each once, whichever process settled the call.
"""

import structlog
from django.db import connection, transaction

log = structlog.get_logger("atrium.billing")


def raise_alerts(*, limit: int = 100) -> int:
    """Log an error, which Sentry hears, for each alert that was not raised yet; returns how many.

    Logged before the commit that marks them: should this process die between the two, an alert comes twice, not never.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT hour, model, pseudonym, currency, amount, calls FROM raise_variance_alerts(%s)", [limit])
        found = cursor.fetchall()
        for hour, model, pseudonym, currency, amount, calls in found:
            log.error(
                "usage above holds",
                hour=hour.isoformat(),
                model=model,
                tenant_id=str(pseudonym),
                amount=str(amount),
                currency=currency,
                calls=calls,
            )
    return len(found)
