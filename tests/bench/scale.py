"""Search at size: a million vectors of 1,000 tenants, small and large, in the real tables, under the app's role.

    python -m tests.bench.scale            (make bench-retrieval)

Loads 100,000 chunks, measures, loads the rest, lets `knowledge.partitions` move the large tenants, measures again.
Beside every search runs the best SQL by hand for the same answer: as superuser, without row security, naming the leaf
itself, ten rows instead of candidates. The two take turns, query by query, so that a noisy neighbour meets both.
Times are of the statement in the database, from sending it to its last row, the question's vector given. Recall is of
the ten nearest, against all of them. Prints `metric search.<class>.{recall10,p50_ms,p50_ratio}` and more.

BENCH_KEEP=1 keeps the loaded cluster under var/ and uses it again: then only the last size is measured.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np

from tests.bench.collection import DIMENSIONS, Collection
from tests.bench.database import own_database

FIRST = 100_000
QUESTIONS = 60  # of each kind
#: One document of a hundred.
_ON_ONE_SHELF = {"type": "eq", "key": "shelf", "value": 7}


@dataclass(frozen=True)
class Kind:
    """What is asked of whom: the name of its metrics."""

    name: str
    tenants: tuple[int, ...]
    own_topics: bool = True
    filters: dict[str, Any] | None = None
    ranker: str = "dense"


@dataclass
class Figures:
    """Of one kind of question: recall@10 each, seconds each."""

    recall: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.ours) * 1000


#: Tenants by their number in the collection: 0 and 1 are large, 5 to 8 have 5,000 chunks, 9 to 18 have 1,000.
LARGE, MIDDLE, SMALL = (0, 1), (5, 6, 7, 8), tuple(range(9, 19))
_EARLY = (
    Kind("small", SMALL),
    Kind("middle", MIDDLE),
    Kind("small_offtopic", SMALL, own_topics=False),
    Kind("middle_offtopic", MIDDLE, own_topics=False),
    Kind("small.hybrid", SMALL, ranker="hybrid"),
    Kind("middle.hybrid", MIDDLE, ranker="hybrid"),
    Kind("small.lexical", SMALL, ranker="lexical"),
    Kind("middle.lexical", MIDDLE, ranker="lexical"),
)
_LATE = (
    *_EARLY,
    Kind("large", LARGE),
    Kind("large_offtopic", LARGE, own_topics=False),
    Kind("large.filtered", LARGE, filters=_ON_ONE_SHELF),
    Kind("middle.filtered", MIDDLE, filters=_ON_ONE_SHELF),
    Kind("large.hybrid", LARGE, ranker="hybrid"),
    Kind("large.lexical", LARGE, ranker="lexical"),
)


def main() -> int:
    """Load, measure, print."""
    keep = bool(os.environ.get("BENCH_KEEP"))
    print(f"{os.cpu_count()} cores, load average before the run {os.getloadavg()[0]:.2f}", flush=True)
    collection = Collection()
    with own_database("scale", keep=keep):
        early = _grow(collection)
        late = _measure(collection, _LATE)
    _report(early, late)
    return 0


def _grow(collection: Collection) -> dict[str, Figures]:
    """Load in two steps and measure between them; nothing where the data is there already."""
    import psycopg

    from knowledge.partitions import tend
    from tests.bench.loading import load

    first = _first_tenants(collection)
    early: dict[str, Figures] = {}
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"]) as connection:
        [(there,)] = connection.execute("SELECT count(*) FROM knowledge_vectorstore").fetchall()
        if not there:
            _timed("loading 100,000 chunks", lambda: load(connection, collection, first, seed=1))
            _settle(connection)
            early = _measure(collection, _EARLY)
        if there < len(collection.sizes):
            rest = sorted(set(range(len(collection.sizes))) - set(first))
            _timed("loading the rest", lambda: load(connection, collection, rest, seed=2))
    done = _timed("moving the large tenants", tend)
    print(f"   {len(done.own)} places of their own, {len(done.undone)} undone" if done else "   somebody else is at it")
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"]) as connection:
        _settle(connection)
    return early


def _first_tenants(collection: Collection) -> list[int]:
    """Those that are asked about at both sizes, and others up to FIRST chunks."""
    chosen, chunks = [], 0
    for tenant in range(MIDDLE[0], len(collection.sizes)):
        if chunks >= FIRST:
            break
        chosen.append(tenant)
        chunks += collection.sizes[tenant]
    return chosen


def _settle(connection: Any) -> None:
    """What autovacuum and the checkpointer would have done by the time a customer asks."""
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
    connection.autocommit = False


def _timed(what: str, step: Callable[[], Any]) -> Any:
    started = time.monotonic()
    done = step()
    print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)
    return done


def _measure(collection: Collection, kinds: Sequence[Kind]) -> dict[str, Figures]:
    """Figures by the name of the kind."""
    import psycopg

    found = {}
    with psycopg.connect(
        os.environ["SUPERUSER_DATABASE_URL"], autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as connection:
        connection.execute(
            "SET ivfflat.probes = 24; SET max_parallel_workers_per_gather = 0; SET ivfflat.iterative_scan = relaxed_order"
        )
        for kind in kinds:
            found[kind.name] = _ask_all(collection, kind, connection)
            print(_line(kind.name, found[kind.name]), flush=True)
    return found


def _ask_all(collection: Collection, kind: Kind, connection: Any) -> Figures:
    figures = Figures()
    each = max(1, QUESTIONS // len(kind.tenants))
    for tenant in kind.tenants:
        by_hand = _ByHand(connection, collection, tenant)
        vectors = collection.questions(tenant, each + 1, own_topics=kind.own_topics)
        wordings = collection.wordings(tenant, each + 1)
        for turn, (vector, wording) in enumerate(zip(vectors, wordings, strict=True)):
            steps: list[Callable[[], tuple[float, list[UUID]]]] = [
                partial(_ask, collection, tenant, kind, vector, wording),
                partial(by_hand.ask, kind, vector, wording),
            ]
            answers = {step: steps[step]() for step in ((0, 1) if turn % 2 else (1, 0))}
            if not turn:
                continue  # the first one warms the tenant's pages up
            figures.ours.append(answers[0][0])
            figures.theirs.append(answers[1][0])
            if kind.ranker == "dense":
                nearest = by_hand.nearest(kind, vector)
                figures.recall.append(len(set(answers[0][1]) & set(nearest)) / max(1, len(nearest)))
    return figures


class Given:
    """An embedder that knows one vector: what is measured is the search, not the model."""

    model, space, dimensions, max_tokens = "made-up", "made-up@1", DIMENSIONS, 256

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = vector

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The vector, for every text."""
        return np.repeat(self.vector[None], len(texts), axis=0)

    def count_tokens(self, text: str) -> int:
        """Nobody pays."""
        return 0


def _ask(collection: Collection, tenant: int, kind: Kind, vector: np.ndarray, wording: str) -> tuple[float, list[UUID]]:
    """Seconds that the database took for the search itself, and the chunks found."""
    from django.db import connections

    from knowledge import ports
    from knowledge.retrieval import search
    from tenants.scope import acting_for

    seconds = 0.0

    def timed(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        nonlocal seconds
        started = time.perf_counter()
        done = execute(sql, parameters, many, context)
        if sql.lstrip().startswith("WITH"):
            seconds += time.perf_counter() - started
        return done

    ports.wire(lambda model: Given(vector))
    with acting_for(collection.id_of("tenant", tenant)), connections["default"].execute_wrapper(timed):
        found = search(
            store_ids=[collection.id_of("store", tenant)],
            query=wording,
            limit=10,
            ranker=kind.ranker,
            filters=kind.filters,
        )
    return seconds, [passage.chunk_id for passage in found.passages]


class _ByHand:
    """The best SQL by hand: a superuser's, on the leaf itself, for exactly what is asked."""

    def __init__(self, connection: Any, collection: Collection, tenant: int) -> None:
        self.connection = connection
        names = ("tenant", "store", "space")
        self.ids = {name: collection.id_of(name, tenant) for name in names}
        self.large = collection.sizes[tenant] >= 30_000
        self.vectors, self.terms = (
            connection.execute(
                f"SELECT tableoid::regclass::text FROM {table} WHERE tenant_id = %s LIMIT 1", [self.ids["tenant"]]
            ).fetchone()[0]
            for table in ("knowledge_embedding", "knowledge_chunkterms")
        )

    def ask(self, kind: Kind, vector: np.ndarray, wording: str) -> tuple[float, list[UUID]]:
        """Seconds and chunks."""
        started = time.perf_counter()
        rows = self.connection.execute(self._statement(kind), self._parameters(kind, vector, wording)).fetchall()
        return time.perf_counter() - started, [row[0] for row in rows]

    def nearest(self, kind: Kind, vector: np.ndarray) -> list[UUID]:
        """The truth: every row looked at."""
        sql = f"SELECT chunk_id FROM {self.vectors} e WHERE {self._where(kind)} ORDER BY -({_DISTANCE}) DESC LIMIT 10"
        return [row[0] for row in self.connection.execute(sql, self._parameters(kind, vector, "")).fetchall()]

    def _statement(self, kind: Kind) -> str:
        lists = []
        if kind.ranker != "lexical":
            # An exact scan is best where a filter or the tenant's size leaves few rows, the index elsewhere.
            nearest = (
                f"SELECT chunk_id, -({_DISTANCE}) AS score FROM {self.vectors} e WHERE {self._where(kind)} ORDER BY "
            )
            rows = 10 if kind.ranker == "dense" else 100
            lists.append(nearest + (_DISTANCE if self.large and not kind.filters else "score DESC") + f" LIMIT {rows}")
        if kind.ranker != "dense":
            lists.append(
                f"SELECT chunk_id, -(weights <#> (SELECT weights FROM asked)) AS score FROM {self.terms} "
                "WHERE tenant_id = %(tenant)s AND store_id = %(store)s ORDER BY weights <#> (SELECT weights FROM asked) "
                f"LIMIT {100 if kind.ranker == 'hybrid' else 10}"
            )
        weights = f"SELECT lexical_query(%(tenant)s, ARRAY[%(store)s], %(wording)s, {_ENGLISH}) AS weights"
        asked = f"WITH asked AS MATERIALIZED ({weights})"
        ranked = " UNION ALL ".join(
            f"SELECT chunk_id, score, row_number() OVER (ORDER BY score DESC) AS rank FROM ({one}) l" for one in lists
        )
        return (asked if kind.ranker != "dense" else "") + _JOINED.format(
            best=f"SELECT chunk_id, max(score) AS score, sum(1.0 / (60 + rank)) AS fused FROM ({ranked}) u "
            "GROUP BY 1 ORDER BY 3 DESC LIMIT 10"
        )

    def _where(self, kind: Kind) -> str:
        shelf = (
            " AND store_file_id IN (SELECT id FROM knowledge_vectorstorefile WHERE tenant_id = %(tenant)s "
            "AND store_id = %(store)s AND attributes -> 'shelf' = '7')"
        )
        return "tenant_id = %(tenant)s AND space_id = %(space)s AND store_id = %(store)s" + (
            shelf if kind.filters else ""
        )

    def _parameters(self, kind: Kind, vector: np.ndarray, wording: str) -> dict[str, Any]:
        from pgvector import HalfVector

        return {**self.ids, "vector": HalfVector(vector).to_text(), "wording": wording}


_ENGLISH = "ARRAY['english'], ARRAY[1.0]::float8[]"
_DISTANCE = f"embedding::halfvec({DIMENSIONS}) <#> %(vector)s::halfvec({DIMENSIONS})"
_JOINED = """
SELECT c.id, c.text, c.page, c.start, c."end", file.id, file.filename, f.attributes, best.score
  FROM ({best}) best
  JOIN knowledge_chunk c ON c.tenant_id = %(tenant)s AND c.id = best.chunk_id
  JOIN knowledge_vectorstorefile f ON f.tenant_id = %(tenant)s AND f.id = c.store_file_id
  JOIN knowledge_file file ON file.tenant_id = %(tenant)s AND file.id = f.file_id
 ORDER BY best.fused DESC"""


def _line(name: str, figures: Figures) -> str:
    p95 = statistics.quantiles(figures.ours, n=20)[-1] * 1000
    theirs = statistics.median(figures.theirs) * 1000
    recall = f"recall@10 {statistics.mean(figures.recall):.4f}, " if figures.recall else ""
    return f"   {name:18} {recall}p50 {figures.p50_ms:.2f} ms, p95 {p95:.2f} ms; by hand p50 {theirs:.2f} ms"


def _report(early: dict[str, Figures], late: dict[str, Figures]) -> None:
    for name, figures in late.items():
        if figures.recall:
            print(f"metric search.{name}.recall10 {statistics.mean(figures.recall):.4f}")
        print(f"metric search.{name}.p50_ms {figures.p50_ms:.2f}")
        print(f"metric search.{name}.p50_ratio {figures.p50_ms / (statistics.median(figures.theirs) * 1000):.2f}")
    off = [*late["small_offtopic"].recall, *late["middle_offtopic"].recall]
    ours = [*late["small_offtopic"].ours, *late["middle_offtopic"].ours]
    theirs = [*late["small_offtopic"].theirs, *late["middle_offtopic"].theirs]
    print(f"metric search.offtopic.recall10 {statistics.mean(off):.4f}")
    print(f"metric search.offtopic.p50_ms {statistics.median(ours) * 1000:.2f}")
    print(f"metric search.offtopic.p50_ratio {statistics.median(ours) / statistics.median(theirs):.2f}")
    for name, figures in early.items():
        # Against the SQL by hand of the same moment: the machine's own mood would show otherwise.
        now, then = (statistics.median(f.ours) / statistics.median(f.theirs) for f in (late[name], figures))
        print(f"metric search.{name}.growth {late[name].p50_ms / figures.p50_ms:.2f}")
        print(f"metric search.{name}.ratio_growth {now / then:.2f}")


if __name__ == "__main__":
    sys.exit(main())
