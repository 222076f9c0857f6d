"""Loads the made-up collection into the real tables: small rows by Django, the million by binary COPY as superuser.

The app cannot COPY under row-level security, and a million rows by INSERT take half an hour; what lies in the tables
afterwards is the same. Documents of all tenants arrive in turn, as they do in life, so a tenant's rows lie scattered.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from tests.bench.collection import DIMENSIONS, SHELVES, TERMS, Collection, Document, places

_DOCUMENTS_AT_ONCE = 500
_SPACE_OF_TERMS = 2**28
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_UUID = "S16"


def load(connection: psycopg.Connection, collection: Collection, tenants: Sequence[int], *, seed: int) -> None:
    """All chunks of these tenants, with their stores and files.

    Args:
        connection: a superuser's, not in autocommit.
    """
    random = np.random.default_rng([collection.seed, seed])
    _add_stores(collection, tenants)
    connection.execute("SET session_replication_role = replica")  # every reference is right by construction
    starts = dict.fromkeys(tenants, 0)
    counted: dict[int, np.ndarray] = {tenant: np.zeros(len(places()), np.int64) for tenant in tenants}
    arriving = collection.documents(list(tenants), seed)
    while documents := list(islice(arriving, _DOCUMENTS_AT_ONCE)):
        _add_files(collection, documents)
        _add_chunks(connection, collection, documents, starts, counted, random)
        connection.commit()
    _add_store_terms(connection, collection, counted)
    connection.execute("SET session_replication_role = origin")
    connection.commit()


def _add_stores(collection: Collection, tenants: Sequence[int]) -> None:
    from knowledge.models import Space, VectorStore
    from tenants.models import Tenant

    ids = {tenant: collection.id_of("tenant", tenant) for tenant in tenants}
    _create(Tenant, [Tenant(id=ids[t], slug=f"bench-{t}", name=f"Bench {t}") for t in tenants])
    _create(
        Space,
        [
            Space(id=collection.id_of("space", t), tenant_id=ids[t], name="made-up@1", dimensions=DIMENSIONS)
            for t in tenants
        ],
    )
    _create(
        VectorStore,
        [
            VectorStore(
                id=collection.id_of("store", t), tenant_id=ids[t], name="bench", embedding_model="made-up",
                space_id=collection.id_of("space", t), chunk_count=collection.sizes[t],
                term_count=collection.sizes[t] * TERMS,
            )
            for t in tenants
        ],
    )  # fmt: skip


def _create(model: Any, rows: list[Any]) -> None:
    model._base_manager.using("owner").bulk_create(rows, batch_size=1000)


def _add_files(collection: Collection, documents: Sequence[Document]) -> None:
    from knowledge.models import File, VectorStoreFile

    files, attached = [], []
    for document in documents:
        tenant_id, path = collection.id_of("tenant", document.tenant), (document.tenant, document.number)
        name = f"document-{document.number}.txt"
        files.append(
            File(
                id=collection.id_of("file", *path), tenant_id=tenant_id, purpose="assistants", filename=name, bytes=1,
                mime_type="text/plain", sha256="0" * 64, storage_key=f"{tenant_id}/{name}", status="processed",
            )
        )  # fmt: skip
        attached.append(
            VectorStoreFile(
                id=collection.id_of("attached", *path), tenant_id=tenant_id,
                store_id=collection.id_of("store", document.tenant), file_id=files[-1].id,
                attributes={"shelf": document.number % SHELVES}, chunking={}, state="completed", percent=100,
                chunk_count=document.count, completed_at=datetime.now(UTC),
            )
        )  # fmt: skip
    _create(File, files)
    _create(VectorStoreFile, attached)


def _add_chunks(
    connection: psycopg.Connection,
    collection: Collection,
    documents: Sequence[Document],
    starts: dict[int, int],
    counted: dict[int, np.ndarray],
    random: np.random.Generator,
) -> None:
    """The chunks of some documents with vectors and terms, and the terms counted."""
    counts = [document.count for document in documents]
    total = sum(counts)
    # A document is about one topic of its tenant.
    topics = np.repeat([random.choice(collection.topics[document.tenant]) for document in documents], counts)
    rows = {
        "id": np.frombuffer(random.bytes(16 * total), _UUID),
        "tenant_id": _repeated([collection.id_of("tenant", d.tenant) for d in documents], counts),
        "space_id": _repeated([collection.id_of("space", d.tenant) for d in documents], counts),
        "store_id": _repeated([collection.id_of("store", d.tenant) for d in documents], counts),
        "store_file_id": _repeated([collection.id_of("attached", d.tenant, d.number) for d in documents], counts),
    }
    rows["chunk_id"] = rows["id"]
    ordinal = np.concatenate([np.arange(count) for count in counts])
    text = [f"chunk {number:6d} of a document " for number in ordinal]
    _copy(
        connection,
        "knowledge_chunk",
        total,
        {
            "id": rows["id"], "tenant_id": rows["tenant_id"], "store_file_id": rows["store_file_id"],
            "ordinal": ordinal.astype(">i4"), "text": np.array([line.encode() for line in text]),
            "start": (ordinal * 100).astype(">i4"), "end": (ordinal * 100 + 100).astype(">i4"),
            "tokens": np.full(total, 100, ">i4"),
        },
    )  # fmt: skip
    vectors = np.empty(total, [("dimensions", ">i2"), ("unused", ">i2"), ("values", ">f2", DIMENSIONS)])
    vectors["dimensions"], vectors["unused"] = DIMENSIONS, 0
    vectors["values"] = collection.vectors(topics, random)
    _copy(connection, "knowledge_embedding", total, {**rows, "passage": np.zeros(total, ">i2"), "embedding": vectors})
    terms = collection.terms(total, random)
    for document, of_document in zip(documents, np.split(terms, np.cumsum(counts)[:-1]), strict=True):
        counted[document.tenant] += np.bincount(of_document.ravel(), minlength=len(places()))
    kinds = [("space", ">i4"), ("filled", ">i4"), ("unused", ">i4"), ("at", ">i4", TERMS), ("weights", ">f4", TERMS)]
    weights = np.empty(total, kinds)
    weights["space"], weights["filled"], weights["unused"] = _SPACE_OF_TERMS, TERMS, 0
    weights["at"] = np.sort(places()[terms] - 1, axis=1)
    # What BM25 makes of a word that stands once, twice or three times in a chunk of average length.
    weights["weights"] = random.choice([1.0, 1.375, 1.571], (total, TERMS), p=[0.75, 0.17, 0.08])
    del rows["space_id"]
    _copy(connection, "knowledge_chunkterms", total, {**rows, "weights": weights, "length": np.full(total, 130, ">i4")})


def _repeated(ids: list[UUID], counts: list[int]) -> np.ndarray:
    return np.repeat(np.array([one.bytes for one in ids], _UUID), counts)


def _copy(connection: psycopg.Connection, table: str, count: int, columns: dict[str, np.ndarray]) -> None:
    """Binary COPY of `count` rows whose columns all have a fixed width."""
    layout: list[Any] = [("fields", ">i2")]
    for name, values in columns.items():
        layout += [(f"{name} length", ">i4"), (name, values.dtype)]
    rows = np.empty(count, layout)
    rows["fields"] = len(columns)
    for name, values in columns.items():
        rows[f"{name} length"], rows[name] = values.dtype.itemsize, values
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(_SIGNATURE + rows.tobytes() + b"\xff\xff")


def _add_store_terms(connection: psycopg.Connection, collection: Collection, counted: dict[int, np.ndarray]) -> None:
    for tenant, counts in counted.items():
        terms = np.nonzero(counts)[0]
        total = len(terms)
        random = np.random.default_rng([collection.seed, tenant, 1])
        _copy(
            connection,
            "knowledge_storeterm",
            total,
            {
                "id": np.frombuffer(random.bytes(16 * total), _UUID),
                "tenant_id": _repeated([collection.id_of("tenant", tenant)], [total]),
                "store_id": _repeated([collection.id_of("store", tenant)], [total]),
                "term": places()[terms].astype(">i4"),
                "chunks": counts[terms].astype(">i4"),
            },
        )
