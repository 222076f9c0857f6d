"""Names and shapes: the buckets, their shared leaves, and the leaves that one tenant has for itself."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

VECTORS = "knowledge_embedding"
#: What large tenants have for themselves. Terms lie in buckets too, and stay there: their exact scan has no index yet.
TABLES = (VECTORS,)
#: Shared leaves of each table. Attaching a tenant's own leaf locks one bucket, so the others' tenants notice nothing.
BUCKETS = 16


@dataclass(frozen=True)
class Leaf:
    """Where a tenant's rows of a table lie, once it has a place of its own.

    `bucket` is the partitioned table that it hangs under, `shared` the bucket's leaf for everybody else.
    """

    table: str
    tenant_id: UUID
    bucket: str

    @property
    def name(self) -> str:
        """The table of this tenant alone."""
        return f"{self.table}_t{self.tenant_id.hex}"

    @property
    def shared(self) -> str:
        """The table of the bucket's small tenants."""
        return f"{self.bucket}_shared"


def leaf_of(cursor: Any, table: str, tenant_id: UUID) -> Leaf:
    """The leaf that a tenant has or would have."""
    cursor.execute(
        "SELECT n FROM generate_series(0, %s) n WHERE satisfies_hash_partition(%s::regclass, %s, n, %s::uuid)",
        [BUCKETS - 1, table, BUCKETS, tenant_id],
    )
    return Leaf(table, tenant_id, f"{table}_b{cursor.fetchone()[0]:02d}")


def own_leaves(cursor: Any, table: str, *, attached: bool) -> list[Leaf]:
    """All leaves of single tenants that are (or, after a crash, are not) part of the table."""
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
        "AND relname ~ %s AND relispartition = %s ORDER BY 1",
        [f"^{table}_t[0-9a-f]{{32}}$", attached],
    )
    names = [name for (name,) in cursor.fetchall()]
    return [leaf_of(cursor, table, UUID(name.removeprefix(f"{table}_t"))) for name in names]
