"""Who is large and who is small, counted in rows of a table."""

from typing import Any
from uuid import UUID

from .layout import Leaf

#: A chunk has at most so many vectors: the longest chunk (4,096 tokens) in passages of 256, and one for the rest.
_ROWS_A_CHUNK = 17


def large_tenants(cursor: Any, table: str, *, rows: int) -> list[UUID]:
    """Tenants with at least `rows` rows in shared leaves, most chunks first.

    The stores' counters say who might be; those are counted, as far as `rows`.
    """
    cursor.execute(
        "SELECT tenant_id FROM knowledge_vectorstore GROUP BY 1 HAVING sum(chunk_count) * %s >= %s "
        "ORDER BY sum(chunk_count) DESC",
        [_ROWS_A_CHUNK, rows],
    )
    return [tenant_id for (tenant_id,) in cursor.fetchall() if _has(cursor, table, tenant_id, rows)]


def _has(cursor: Any, table: str, tenant_id: UUID, rows: int) -> bool:
    return rows_of(cursor, table, tenant_id, at_most=rows) >= rows


def rows_of(cursor: Any, table: str, tenant_id: UUID, *, at_most: int) -> int:
    """A tenant's rows, counted as far as `at_most`."""
    cursor.execute(
        f"SELECT count(*) FROM (SELECT FROM {table} WHERE tenant_id = %s LIMIT %s) counted", [tenant_id, at_most]
    )
    return int(cursor.fetchone()[0])


def spaces_of(cursor: Any, leaf: Leaf, *, rows: int) -> dict[UUID, tuple[int, int]]:
    """The spaces of a leaf with at least `rows` vectors: their dimensions and vectors."""
    cursor.execute(
        f"SELECT e.space_id, s.dimensions, e.n FROM (SELECT space_id, count(*) AS n FROM {leaf.name} GROUP BY 1) e "
        "JOIN knowledge_space s ON s.tenant_id = %s AND s.id = e.space_id WHERE e.n >= %s",
        [leaf.tenant_id, rows],
    )
    return {space_id: (dimensions, count) for space_id, dimensions, count in cursor.fetchall()}
