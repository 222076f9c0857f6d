"""Promise 5: search finds what is nearest, at every size, in the tenant's topics and off them, and never too little.

A small, a middle, a just-exact and a large tenant are loaded into the running stack's database; the large one is given
its partition by the upkeep that beat would start. Every answer is compared with a look at every row.
"""

import os
from statistics import mean
from typing import Any

import numpy as np
import psycopg
from pgvector import HalfVector

from knowledge import partitions, ports
from knowledge.retrieval import search
from tenants.scope import acting_for
from tests.bench.collection import DIMENSIONS, Collection
from tests.bench.loading import load
from tests.bench.scale import Given
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

#: Up to here every vector is looked at; the last one is above `PARTITION_ROWS`.
_EXACT = (500, 5_000, 20_000)
_LARGE = 40_000
_ASKED, _WANTED = 50, 10


def prove(ground: Ground) -> Verdict:
    """Recall@10 of each tenant, asked about its own topics and about those of others."""
    collection = Collection(seed=os.getpid(), asked=[*_EXACT, _LARGE])
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], dbname="atrium") as connection:
        load(connection, collection, range(len(collection.sizes)), seed=1)
        done = partitions.tend()
        source = ports._source
        try:
            found = {
                (size, own): _recall(connection, collection, tenant, own_topics=own)
                for tenant, size in enumerate(collection.sizes)
                for own in (True, False)
            }
        finally:
            ports._source = source
    violations = [] if done and len(done.own) == 1 else [f"the large tenant was not moved: {done}"]
    for (size, own), (recall, short) in found.items():
        where = f"{size} rows, {'in topic' if own else 'off topic'}"
        violations += [f"{where}: {short} short answers"] if short else []
        least = 1.0 if size in _EXACT else 0.98 if own else 0.0
        violations += [f"{where}: recall@10 {recall:.4f}"] if recall < least else []
    told = ", ".join(f"{size} {'in' if own else 'off'} {recall:.3f}" for (size, own), (recall, _) in found.items())
    return Verdict(f"recall@10 over {scaled(_ASKED)} questions each: {told}", violations)


def _recall(connection: Any, collection: Collection, tenant: int, *, own_topics: bool) -> tuple[float, int]:
    """Mean recall@10, and how many answers were short."""
    tenant_id, store_id = collection.id_of("tenant", tenant), collection.id_of("store", tenant)
    shares, short = [], 0
    for vector in collection.questions(tenant, scaled(_ASKED), own_topics=own_topics):
        given = Given(vector)
        ports.wire(lambda model, given=given: given)
        with acting_for(tenant_id):
            passages = search(store_ids=[store_id], query="anything", limit=_WANTED, ranker="dense").passages
        short += len(passages) < _WANTED
        shares.append(
            len({passage.chunk_id for passage in passages} & _nearest(connection, tenant_id, vector)) / _WANTED
        )
    return mean(shares), short


def _nearest(connection: Any, tenant_id: Any, vector: np.ndarray) -> set[Any]:
    """The truth, by an order that no index offers."""
    rows = connection.execute(
        f"SELECT chunk_id FROM knowledge_embedding WHERE tenant_id = %s "
        f"ORDER BY -(embedding::halfvec({DIMENSIONS}) <#> %s::halfvec({DIMENSIONS})) DESC LIMIT %s",
        [tenant_id, HalfVector(vector).to_text(), _WANTED],
    )
    return {chunk_id for (chunk_id,) in rows.fetchall()}
