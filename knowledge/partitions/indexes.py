"""What a tenant's own leaf is indexed by: IVFFlat for each of its spaces.

IVFFlat (k-means clusters, of which a query looks at the nearest) and not HNSW, because it measured better here, on
300,000 × 384 synthetic vectors with topics (recall@10): in topic 1.00 at 20 probes, where a graph (m 16, ef_construction
100, ef 200) left whole topics unreached and got 0.97; off topic 0.96 in 76 ms (80 probes) against 0.35 in 103 ms
(ef 1000); built in 44 s against 209. Topics that lie well apart favour clusters, and one setting of the graph was tried.

What it does need is clusters of about the same size as when a query's effort was measured. So it is built again,
concurrently, when its leaf has doubled or halved since.
"""

from typing import Any
from uuid import UUID

from django.conf import settings

from .census import spaces_of
from .layout import Leaf

#: Rows of a cluster when it is built. A query looks at a fixed number of clusters (`retrieval.dense`), so at about the
#: same number of rows whatever the tenant's size.
_ROWS_A_CLUSTER = 400
_MOST_CLUSTERS = 32768  # pgvector's limit


def tend_indexes(cursor: Any, leaf: Leaf, *, concurrently: bool) -> list[str]:
    """Make what is missing, then drop what serves nothing any more; returns what was done.

    Args:
        concurrently: the leaf is in use; otherwise nobody sees it yet.
    """
    how, done = "CONCURRENTLY" if concurrently else "", []
    standing = _standing(cursor, leaf)
    wanted = _wanted(cursor, leaf, [name for name, valid in standing.items() if valid])
    for name, definition in wanted.items():
        if not standing.get(name):
            cursor.execute(f"DROP INDEX {how} IF EXISTS {name}")  # an invalid one is what a killed build left
            _build(cursor, leaf, name, definition, how)
            done.append(f"built {name}")
    for name in standing.keys() - wanted:
        cursor.execute(f"DROP INDEX {how} {name}")
        done.append(f"dropped {name}")
    return done


def _build(cursor: Any, leaf: Leaf, name: str, definition: str, how: str) -> None:
    """A build that fits its memory is many times faster."""
    cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [settings.PARTITION_BUILD_MEMORY])
    cursor.execute(f"CREATE INDEX {how} {name} ON {leaf.name} {definition}")


def _wanted(cursor: Any, leaf: Leaf, valid: list[str]) -> dict[str, str]:
    """Index name → definition."""
    spaces = spaces_of(cursor, leaf, rows=settings.PARTITION_ROWS_BACK)
    return dict(_clustered(space_id, dimensions, rows, valid) for space_id, (dimensions, rows) in spaces.items())


def _clustered(space_id: UUID, dimensions: int, rows: int, valid: list[str]) -> tuple[str, str]:
    """The index that a space has, unless it has been outgrown; its name tells its clusters.

    Inner product: vectors have length 1. The cast gives the index the dimensions that the column leaves open.
    """
    prefix, fitting = f"knowledge_vectors_{space_id.hex}_", max(1, rows // _ROWS_A_CLUSTER)
    have = [int(name.removeprefix(prefix)) for name in valid if name.startswith(prefix)]
    clusters = next((n for n in have if fitting / 2 <= n <= fitting * 2), min(fitting, _MOST_CLUSTERS))
    return (
        f"{prefix}{clusters}",
        f"USING ivfflat ((embedding::halfvec({dimensions})) halfvec_ip_ops) WITH (lists = {clusters}) "
        f"WHERE space_id = '{space_id}'",
    )


def _standing(cursor: Any, leaf: Leaf) -> dict[str, bool]:
    """Index name → whether it is valid, of those that this module makes."""
    cursor.execute(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = %s::regclass AND a.amname = 'ivfflat'",
        [leaf.name],
    )
    return dict(cursor.fetchall())
