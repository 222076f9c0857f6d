"""The ledger's sums by hour and day: kept up by `roll_up`, exact at any moment together with the lines above the mark.

Settling a call writes nothing but its ledger lines. Each line carries the number of the transaction that wrote it, and
`roll_up_usage` adds up those of transactions that have all ended: none is missed, however late it commits, and none is
added twice, whoever else rolls up. Corrections are lines like all others.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db import connection, connections, router, transaction

from tenants.append_only import trigger_of
from tenants.errors import ServiceUnavailable

from .models import RollUpMark, UsageRecord

_ATTEMPTS = 5
_Result = TypeVar("_Result")


def roll_up() -> int | None:
    """Add the ledger's new lines to the sums; returns how many there were, None where another process does it.

    Raises:
        DatabaseError: the sums are another server's (a restored dump): `rebuild` is needed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT roll_up_usage()")
        return cursor.fetchone()[0]


def mark() -> int:
    """Lines of transactions before this one are in the sums, all others are not.

    0, so that all is read from the ledger, before the first roll-up and where the sums are those of another server.
    """
    with connections[router.db_for_read(RollUpMark)].cursor() as cursor:
        cursor.execute(
            "SELECT up_to FROM billing_rollupmark WHERE up_to <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        )
        found = cursor.fetchone()
    return found[0] if found else 0


def steadily(read: Callable[[int], _Result]) -> _Result:
    """What `read` answers, called with the mark, while the mark stayed the same: so sums and lines above it fit.

    The mark moves every few seconds, and a report takes a fraction of one.

    Raises:
        ServiceUnavailable: it moved each time.
    """
    for _ in range(_ATTEMPTS):
        before = mark()
        result = read(before)
        if mark() == before:
            return result
    raise ServiceUnavailable("The sums of usage changed while they were read. Try again.")


def rebuild() -> int | None:
    """Throw the sums away and add the whole ledger up again; returns the number of its lines. Settlements wait for it.

    As owner: for a database that was restored into another server, where transactions are counted anew. Lines from a
    count that this server has not reached yet are renumbered, which is no change of what they say.
    """
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE billing_usagerecord DISABLE TRIGGER {trigger_of(UsageRecord)}")
        cursor.execute(
            "UPDATE billing_usagerecord SET xact = 0 WHERE xact >= pg_current_xact_id()::text::bigint",
        )
        cursor.execute(f"ALTER TABLE billing_usagerecord ENABLE TRIGGER {trigger_of(UsageRecord)}")
        cursor.execute("TRUNCATE billing_usagehour, billing_usageday, billing_modelday, billing_userday")
        cursor.execute("DELETE FROM billing_rollupmark")
    return roll_up()
