"""A tenant's rows change places: to a leaf of its own, and back to its bucket's shared one.

The way there: copy the rows into a table that is not part of anything yet, index it, and then, in one transaction that
holds the tenant's stores against its writers, bring the copy up to date, delete the originals and attach the copy. The
last step needs the bucket for itself for a moment: whoever reads or writes there finishes first, and whoever comes
meanwhile waits. Writers that do not hold a store's row are found out (the counts differ, or attaching meets a row that
came late), and the transaction is undone.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, OperationalError, connections, transaction
from psycopg import errors

from tenants.row_security import policies_of

from .indexes import tend_indexes
from .layout import Leaf

logger = logging.getLogger(__name__)

#: How long others may queue behind a lock that is not to be had, how long they are left alone after that, how often.
_LOCK_WAIT, _PAUSE_SECONDS, _TRIES = "100ms", 0.4, 25


class MoveUndone(Exception):
    """Nothing has changed: a lock could not be had, or a writer came between. The next run tries again."""


def make_own(leaf: Leaf) -> None:
    """Move a tenant's rows from the shared leaf to one of its own.

    Raises:
        MoveUndone: try again later.
    """
    connection = connections["owner"]
    with connection.cursor() as cursor:
        drop(cursor, leaf)
        with transaction.atomic(using="owner"):
            _create(cursor, leaf)
            cursor.execute(
                f"INSERT INTO {leaf.name} SELECT * FROM {leaf.shared} WHERE tenant_id = %s "
                "ORDER BY store_id, store_file_id, id",
                [leaf.tenant_id],
            )
        _reference(cursor, leaf)
        tend_indexes(cursor, leaf, concurrently=False)
        cursor.execute(f"ANALYZE {leaf.name}")
        _in_one_step(lambda: _switch(cursor, leaf))


def make_shared(leaf: Leaf) -> None:
    """Move a tenant's rows from its own leaf back to the shared one, and drop its own.

    Raises:
        MoveUndone: try again later (or what is left of it is dropped by the next run).
    """
    with connections["owner"].cursor() as cursor:
        _in_one_step(lambda: _switch_back(cursor, leaf))
        drop(cursor, leaf)


def drop(cursor: Any, leaf: Leaf) -> None:
    """Remove a table that is not attached: what a killed run or a move back left.

    Its foreign keys go with it, for which nobody may be reading the tables that they refer to.

    Raises:
        MoveUndone: try again later; it is in nobody's way.
    """
    _with_lock(cursor, f"DROP TABLE IF EXISTS {leaf.name}")


def _in_one_step(step: Callable[[], None]) -> None:
    try:
        with transaction.atomic(using="owner"):
            step()
    except DatabaseError as error:
        if isinstance(error.__cause__, (errors.LockNotAvailable, errors.DeadlockDetected, errors.ForeignKeyViolation)):
            raise MoveUndone(str(error)) from error
        raise


def _create(cursor: Any, leaf: Leaf) -> None:
    """An empty copy of the table, as closed as the table itself: nobody but the owner may read it."""
    cursor.execute(
        f"CREATE TABLE {leaf.name} (LIKE {leaf.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES, "
        # Attaching looks for this instead of reading every row.
        f"CONSTRAINT {leaf.table}_of_tenant CHECK (tenant_id = '{leaf.tenant_id}')) WITH (toast_tuple_target = 8160, "
        # Vacuum would hold the lock that attaching needs.
        "autovacuum_enabled = false)"
    )
    for statement in policies_of(leaf.name):
        cursor.execute(statement)


def _reference(cursor: Any, leaf: Leaf) -> None:
    """The table's foreign keys, checked without keeping anybody from writing.

    From here on a chunk that is deleted takes its row of the copy along, as it does in the table (ON DELETE CASCADE).
    """
    cursor.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype = 'f' AND conparentid = 0",
        [leaf.table],
    )
    keys = cursor.fetchall()
    for name, definition in keys:
        _with_lock(cursor, f"ALTER TABLE {leaf.name} ADD CONSTRAINT {name} {definition} NOT VALID")
    _remove_gone(cursor, leaf)
    for name, _ in keys:
        cursor.execute(f"ALTER TABLE {leaf.name} VALIDATE CONSTRAINT {name}")


def _switch(cursor: Any, leaf: Leaf) -> None:
    _hold_writers(cursor, leaf)
    _remove_gone(cursor, leaf)
    _add_new(cursor, leaf)
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # nothing is attached while checks of its rows are due
    cursor.execute(f"DELETE FROM {leaf.shared} WHERE tenant_id = %s", [leaf.tenant_id])
    moved = cursor.rowcount
    cursor.execute(f"SELECT count(*) FROM {leaf.name}")
    if cursor.fetchone()[0] != moved:
        raise MoveUndone(f"{leaf.name}: a writer came between")
    _lock_bucket(cursor, leaf)
    try:
        cursor.execute(f"ALTER TABLE {leaf.bucket} ATTACH PARTITION {leaf.name} FOR VALUES IN ('{leaf.tenant_id}')")
    except DatabaseError as error:
        if isinstance(error.__cause__, errors.CheckViolation):
            raise MoveUndone(f"{leaf.name}: a row came late") from error
        raise
    cursor.execute(f"ALTER TABLE {leaf.name} RESET (autovacuum_enabled)")


def _remove_gone(cursor: Any, leaf: Leaf) -> None:
    """Remove from the copy what was deleted since it was made."""
    ours, theirs = _told_apart(cursor, leaf)
    cursor.execute(
        f"DELETE FROM {leaf.name} l USING ({ours} EXCEPT {theirs}) gone WHERE l.tenant_id = gone.tenant_id AND l.id = gone.id",
        [leaf.tenant_id],
    )


def _add_new(cursor: Any, leaf: Leaf) -> None:
    """Add to the copy what was written since it was made."""
    ours, theirs = _told_apart(cursor, leaf)
    cursor.execute(
        f"INSERT INTO {leaf.name} SELECT s.* FROM ({theirs} EXCEPT {ours}) new JOIN {leaf.shared} s "
        "ON s.tenant_id = new.tenant_id AND s.id = new.id",
        [leaf.tenant_id],
    )


def _told_apart(cursor: Any, leaf: Leaf) -> tuple[str, str]:
    """SQL of the copy's rows and of the originals (one parameter, the tenant), by all columns but the widest.

    What a chunk's vector or terms are is never changed, only written and removed.
    """
    cursor.execute(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = %s::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('embedding', 'weights')",
        [leaf.table],
    )
    [(narrow,)] = cursor.fetchall()
    return f"SELECT {narrow} FROM {leaf.name}", f"SELECT {narrow} FROM {leaf.shared} WHERE tenant_id = %s"


def _switch_back(cursor: Any, leaf: Leaf) -> None:
    """The shared leaf takes the rows only once the own one is detached, so the bucket is held while they are written."""
    _hold_writers(cursor, leaf)
    _lock_bucket(cursor, leaf)
    cursor.execute(f"ALTER TABLE {leaf.bucket} DETACH PARTITION {leaf.name}")
    cursor.execute(f"INSERT INTO {leaf.shared} SELECT * FROM {leaf.name} ORDER BY store_id, store_file_id, id")


def _hold_writers(cursor: Any, leaf: Leaf) -> None:
    """Let the tenant's writers wait: each locks the row of the store that it changes first. And keep vacuum away.

    They finish in seconds, for no transaction spans a provider's call, and vacuum gives way after one. Neither wait
    holds anybody else up.
    """
    cursor.execute("SET LOCAL lock_timeout = '30s'")
    cursor.execute(f"LOCK TABLE {leaf.shared} IN SHARE UPDATE EXCLUSIVE MODE")
    cursor.execute(
        "SELECT FROM knowledge_vectorstore WHERE tenant_id = %s ORDER BY id FOR NO KEY UPDATE", [leaf.tenant_id]
    )


def _lock_bucket(cursor: Any, leaf: Leaf) -> None:
    """Have the bucket alone, and the tables it refers to without writers, in the order in which writers take them."""
    cursor.execute(
        "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f' "
        "ORDER BY 1",
        [leaf.bucket],
    )
    targets = ", ".join(name for (name,) in cursor.fetchall())
    _with_lock(
        cursor,
        f"LOCK TABLE {targets} IN SHARE ROW EXCLUSIVE MODE; LOCK TABLE {leaf.bucket} IN ACCESS EXCLUSIVE MODE",
    )


def _with_lock(cursor: Any, statement: str) -> None:
    """Run what needs a lock that others hold for moments: wait briefly, for they queue behind it, and often.

    Raises:
        MoveUndone: it was never to be had.
    """
    for attempt in range(_TRIES):
        try:
            with transaction.atomic(using="owner"):
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
                cursor.execute(statement)
                return
        except OperationalError as error:
            if not isinstance(error.__cause__, (errors.LockNotAvailable, errors.DeadlockDetected)):
                raise
            logger.info("a lock was not to be had (try %s): %s", attempt + 1, error)
            time.sleep(_PAUSE_SECONDS)  # nobody tells when a lock is free without queueing for it
    raise MoveUndone(f"no lock for: {statement}")
