"""One run of upkeep: look at every table, move who has outgrown its place, tend the indexes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections

from tenants.database_roles import OWNER

from .census import large_tenants, rows_of
from .indexes import tend_indexes
from .layout import TABLES, leaf_of, own_leaves
from .moves import MoveUndone, drop, make_own, make_shared

logger = logging.getLogger(__name__)
#: The advisory lock of a run; any number that nothing else in the database uses.
_RUN = 0x41747269756D


@dataclass
class Upkeep:
    """What a run did, by the names of leaves and indexes. `undone` moves are tried again by the next run."""

    own: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)


class NotOwner(RuntimeError):
    """This process was given no owner's credentials (`OWNER_DATABASE_URL`), so it cannot move anything."""


def tend() -> Upkeep | None:
    """Bring every tenant's rows where they belong; None where another run is at it.

    Takes as long as its copies and index builds: minutes for some hundred thousand rows. Holds no transaction meanwhile
    but those of the copies.

    Raises:
        NotOwner: only the owner may.
    """
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT current_user")
        if cursor.fetchone()[0] != OWNER:
            raise NotOwner("upkeep of partitions needs OWNER_DATABASE_URL")
        with _alone(cursor) as alone:
            return _tend(cursor) if alone else None


@contextmanager
def _alone(cursor: Any) -> Iterator[bool]:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [_RUN])
    [(alone,)] = cursor.fetchall()
    try:
        yield alone
    finally:
        if alone:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_RUN])


def _tend(cursor: Any) -> Upkeep:
    done = Upkeep()
    for table in TABLES:
        for leaf in own_leaves(cursor, table, attached=False):
            _attempt(done, done.dropped, leaf, partial(drop, cursor))
        own = own_leaves(cursor, table, attached=True)
        for leaf in own:
            if (
                rows_of(cursor, leaf.name, leaf.tenant_id, at_most=settings.PARTITION_ROWS_BACK)
                < settings.PARTITION_ROWS_BACK
            ):
                _attempt(done, done.shared, leaf, make_shared)
            else:
                done.indexes += tend_indexes(cursor, leaf, concurrently=True)
        owners = {leaf.tenant_id for leaf in own}
        for tenant_id in large_tenants(cursor, table, rows=settings.PARTITION_ROWS):
            if tenant_id not in owners:
                _attempt(done, done.own, leaf_of(cursor, table, tenant_id), make_own)
    return done


def _attempt(done: Upkeep, moved: list[str], leaf: Any, move: Any) -> None:
    try:
        move(leaf)
    except MoveUndone as reason:
        logger.warning("%s stays where it is for now: %s", leaf.name, reason)
        done.undone.append(leaf.name)
    else:
        moved.append(leaf.name)
