"""Search: its quality on CISI, and its time beside the bare SQL of the same query.

    python -m tests.bench.retrieval

Prints `metric cisi.{lexical,dense,hybrid}.ndcg10` and `metric search.ratio` (p50 of the domain search, the query's
vector given, ÷ p50 of hand-written SQL on a connection of its own).
"""

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np

from tests.bench.database import attach_texts, ingest_all, own_database
from tests.eval.collection import CISI, read_collection
from tests.eval.measures import mean, ndcg

RUNS = 5

_BARE = """
WITH lexical AS (
  SELECT chunk_id, row_number() OVER (ORDER BY distance) AS rank FROM (
    SELECT chunk_id, weights <#> (SELECT lexical_query(
             %(tenant)s, ARRAY[%(store)s::uuid], %(text)s, ARRAY['english'], ARRAY[1.0])) AS distance
      FROM knowledge_chunkterms WHERE tenant_id = %(tenant)s AND store_id = %(store)s ORDER BY 2 LIMIT 100) l),
dense AS (
  SELECT chunk_id, row_number() OVER (ORDER BY distance) AS rank FROM (
    SELECT chunk_id, min(embedding <#> %(vector)s::halfvec) AS distance
      FROM knowledge_embedding WHERE tenant_id = %(tenant)s AND store_id = %(store)s
     GROUP BY 1 ORDER BY 2 LIMIT 100) d)
SELECT c.id, c.text, f.filename, sum(1.0 / (60 + rank)) AS score
  FROM (TABLE lexical UNION ALL TABLE dense) u JOIN knowledge_chunk c ON c.id = u.chunk_id AND c.tenant_id = %(tenant)s
  JOIN knowledge_vectorstorefile s ON s.id = c.store_file_id AND s.tenant_id = %(tenant)s
  JOIN knowledge_file f ON f.id = s.file_id AND f.tenant_id = %(tenant)s
 GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 10"""


def main() -> int:
    """Measure and print."""
    if not CISI.is_dir():
        print("../shared/data/cisi is missing: this benchmark needs the shared folder beside the checkout.")
        return 1
    collection = read_collection(CISI)
    texts, queries = collection.documents, collection.queries
    with own_database("retrieval") as tenant_id:
        started = time.perf_counter()
        vectors = memoised_model()
        store_id = attach_texts(tenant_id, texts)
        ingest_all()
        print(f"ingested {len(texts)} documents in {time.perf_counter() - started:.0f} s", flush=True)
        for ranker in ("lexical", "dense", "hybrid"):
            runs = {key: ranked(tenant_id, store_id, text, ranker) for key, text in queries.items()}
            print(f"metric cisi.{ranker}.ndcg10 {mean(ndcg, runs, collection.relevant):.4f}", flush=True)
        time_search(tenant_id, store_id, queries, vectors)
    return 0


def memoised_model() -> dict[str, np.ndarray]:
    """Wire the embedded model with a memory for queries, so that a search can be timed without embedding."""
    from inference.embedding import LocalEmbedder
    from knowledge import ports

    known: dict[str, np.ndarray] = {}

    class Memoised(LocalEmbedder):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            if len(texts) != 1:
                return super().embed(texts)
            if texts[0] not in known:
                known[texts[0]] = super().embed(texts)
            return known[texts[0]]

    embedder = Memoised()
    ports.wire(lambda model: embedder)
    return known


def ranked(tenant_id: UUID, store_id: UUID, text: str, ranker: str) -> list[str]:
    """The ids of the ten best documents."""
    from knowledge.retrieval import search
    from tenants.scope import acting_for

    with acting_for(tenant_id):
        found = search(store_ids=[store_id], query=text, limit=50, ranker=ranker).passages
    return list(dict.fromkeys(Path(passage.filename).stem for passage in found))[:10]


def time_search(tenant_id: UUID, store_id: UUID, queries: dict[str, str], vectors: dict[str, np.ndarray]) -> None:
    """Both ways in turn, every query several times, so that noise meets both alike."""
    import os

    import psycopg
    from pgvector import HalfVector

    from knowledge.retrieval import search
    from tenants.scope import acting_for

    domain, bare = [], []
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], autocommit=True) as connection, acting_for(tenant_id):
        for text in [*queries.values()] * RUNS:
            parameters = {
                "tenant": tenant_id, "store": store_id, "text": text, "vector": HalfVector(vectors[text][0]).to_text()
            }  # fmt: skip
            started = time.perf_counter()
            connection.execute(_BARE, parameters).fetchall()
            bare.append(time.perf_counter() - started)
            started = time.perf_counter()
            search(store_ids=[store_id], query=text, limit=10)
            domain.append(time.perf_counter() - started)
    ours, theirs = statistics.median(domain) * 1000, statistics.median(bare) * 1000
    print(f"search p50 {ours:.2f} ms, bare SQL p50 {theirs:.2f} ms")
    print(f"metric search.ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    sys.exit(main())
