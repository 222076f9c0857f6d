"""The ledger, read in slices: each is one transaction and one snapshot, copied out by PostgreSQL as CSV.

Lines are only ever added, so slices of different moments neither lose nor repeat one. `{lines}` of a layout becomes the
slice's lines, under the name `l` where they are summed. A tenant's lines are read as the app in that tenant's scope, the
platform's as staff.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connections, transaction
from psycopg import sql

from tenants.database_roles import STAFF
from tenants.scope import current_tenant, tenant_scope

from . import focus, ledger
from .ledger import Layout
from .wanted import PLATFORM, Kind, Wanted

#: Tags with columns of their own; the rest stand in the column `tags`, as all of them do.
MOST_TAG_COLUMNS = 50
_MOST_SLICES = 100
#: Without a tenant no index serves a slice's lines: each reads the whole ledger, so there are few.
_MOST_PLATFORM_SLICES = 8
_DAY = timedelta(days=1)
_BLOCK_BYTES = 1 << 18


class NotStaff(RuntimeError):
    """This process cannot read all tenants: it was not given STAFF_DATABASE_URL."""


@dataclass(frozen=True)
class Slice:
    """The lines of a part of the period, `since` inclusive, `until` exclusive; `share` of it is then done (0 to 1)."""

    since: datetime
    until: datetime
    share: float


@dataclass(frozen=True)
class Control:
    """Of a slice's lines: how many, and the exact sum of their costs by currency."""

    lines: int
    totals: dict[str, Decimal]


class Copied:
    """The rows of a slice, as blocks of CSV that together are whole rows; `rows` counts them when all are read."""

    def __init__(self, cursor: Any, copy: Any, control: Control) -> None:
        self._cursor, self._copy = cursor, copy
        self.control, self.rows = control, 0

    def __iter__(self) -> Iterator[bytes]:
        # psycopg gives a row at a time; many of them make a block that is worth a call.
        held: list[bytes] = []
        size = 0
        for row in self._copy:
            held.append(row)
            size += len(row)
            if size >= _BLOCK_BYTES:
                yield b"".join(held)
                held, size = [], 0
        if held:
            yield b"".join(held)
        self.rows = self._cursor.rowcount


class Reader:
    """Reads what is wanted for the current tenant, or all tenants where that is `PLATFORM`."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.is_platform = current_tenant() == PLATFORM
        self._alias = "staff" if self.is_platform else "default"

    def layout(self) -> Layout:
        """The file's columns, which depend on the tags that its lines have."""
        if self._wanted.kind == Kind.FOCUS:
            return focus.layout_of(self._wanted, reader_is_platform=self.is_platform)
        tags = [] if self.is_platform else self._tag_names()
        return ledger.layout_of(self._wanted, reader_is_platform=self.is_platform, tags=tags)

    def slices(self) -> Iterator[Slice]:
        """The period in parts that no bucket straddles."""
        wanted = self._wanted
        since = wanted.start
        while since < wanted.end:
            until = min(self._next_cut(since), wanted.end)
            yield Slice(since, until, (until - wanted.start) / (wanted.end - wanted.start))
            since = until

    def _next_cut(self, since: datetime) -> datetime:
        midnight = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        most = _MOST_PLATFORM_SLICES if self.is_platform else _MOST_SLICES
        days = math.ceil((self._wanted.end - self._wanted.start) / _DAY / most)
        cut = midnight + days * _DAY
        if self._wanted.bucket_width != "1mo" or cut.day == 1:
            return cut
        return (cut.replace(day=1) + timedelta(days=32)).replace(day=1)

    @contextmanager
    def copied(self, layout: Layout, part: Slice, *, neutral: bool) -> Iterator[Copied]:
        """The rows of a slice as CSV without a header, and its control figures from the same snapshot."""
        rows = sql.SQL("COPY (SELECT {columns} FROM {source} ORDER BY {order}) TO STDOUT (FORMAT csv)").format(
            columns=sql.SQL(", ").join(column.as_text(neutral=neutral) for column in layout.columns),
            source=layout.source(self._lines(part)),
            order=sql.SQL(layout.order),
        )
        with self._snapshot() as cursor:
            control = self._control(cursor, part)
            with cursor.copy(rows) as copy:
                yield Copied(cursor.cursor, copy, control)

    def _control(self, cursor: Any, part: Slice) -> Control:
        count = sql.SQL("SELECT l.currency, count(*), sum(l.cost) FROM {lines} GROUP BY 1 ORDER BY 1")
        cursor.execute(count.format(lines=self._lines(part)))
        found = cursor.fetchall()
        return Control(sum(lines for _, lines, _ in found), {currency: total for currency, _, total in found})

    def _tag_names(self) -> list[str]:
        whole = self._lines(Slice(self._wanted.start, self._wanted.end, 1))
        names = sql.SQL(
            "SELECT DISTINCT name FROM (SELECT DISTINCT l.tags FROM {lines} AND l.tags <> '{{}}') u, "
            "jsonb_object_keys(u.tags) name ORDER BY 1 LIMIT {most}"
        )
        with self._snapshot() as cursor:
            cursor.execute(names.format(lines=whole, most=sql.Literal(MOST_TAG_COLUMNS)))
            return [name for (name,) in cursor.fetchall()]

    def _lines(self, part: Slice) -> sql.Composable:
        """The table and the condition. The tenant's id stands there for the index; row-level security is below it."""
        conditions: list[sql.Composable] = [
            sql.SQL("l.occurred_at >= {}").format(sql.Literal(part.since)),
            sql.SQL("l.occurred_at < {}").format(sql.Literal(part.until)),
        ]
        if not self.is_platform:
            conditions.append(_one_of("tenant_id", [current_tenant()]))
        wanted = self._wanted
        filters = {"model": wanted.models, "key_id": wanted.key_ids, "tenant_id": wanted.tenant_ids}
        conditions += [_one_of(name, values) for name, values in filters.items() if values]
        return sql.SQL("billing_usagerecord l WHERE {}").format(sql.SQL(" AND ").join(conditions))

    @contextmanager
    def _snapshot(self) -> Iterator[Any]:
        """A cursor whose statements see one state of the ledger, for this reader."""
        connection = connections[self._alias]
        nested = connection.in_atomic_block  # a caller's transaction stays as it is
        try:
            with transaction.atomic(using=self._alias), connection.cursor() as cursor:
                if not nested:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                if self.is_platform:
                    _check_staff(cursor)
                    yield cursor
                else:
                    with tenant_scope():
                        yield cursor
        finally:
            if not nested:
                connection.close()


def _check_staff(cursor: Any) -> None:
    cursor.execute("SELECT current_user")
    if cursor.fetchone()[0] != STAFF:
        raise NotStaff("reports over all tenants need a worker with STAFF_DATABASE_URL")


def _one_of(name: str, values: Sequence[Any]) -> sql.Composable:
    literals = sql.SQL(", ").join(sql.Literal(value) for value in values)
    return sql.SQL("l.{} IN ({})").format(sql.Identifier(name), literals)
