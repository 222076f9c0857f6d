"""Large tenants of a few hundred rows: the thresholds are lowered, everything else is real and committed."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from pgvector import HalfVector

from knowledge.attachments import lock_store
from knowledge.models import Chunk, Embedding, File, VectorStore, VectorStoreFile
from knowledge.partitions.layout import TABLES, own_leaves
from knowledge.ports import embedder_for
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import make_store
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems  # noqa: F401

LARGE, SMALL = 32, 16
TOPICS = ("kiln", "loom", "forge", "glass", "wool", "clay", "brass", "linen")


@pytest.fixture(autouse=True)
def _low_thresholds(settings: Any) -> None:
    settings.PARTITION_ROWS, settings.PARTITION_ROWS_BACK, settings.SEARCH_EXACT_CHUNKS = LARGE, SMALL, 10
    settings.PARTITION_BUILD_MEMORY = "64MB"


@pytest.fixture
def place(committed: Any, words: Any) -> Iterator[Any]:  # noqa: F811
    """Makes committed members; their partitions go with them."""
    yield committed
    with connections["owner"].cursor() as cursor:
        for table in TABLES:
            for attached in (True, False):
                for leaf in own_leaves(cursor, table, attached=attached):
                    cursor.execute(f"DROP TABLE {leaf.name}")


def text_about(topic: str, number: int) -> str:
    """One chunk: what is asked for stands in it once, a number makes it different from the others."""
    return f"The {topic} number {number} stands in workshop {number * 7}. Nobody but the master may use the {topic}."


def fill(member: Member, documents: int, *, start: int = 0, store: VectorStore | None = None) -> VectorStore:
    """`documents` files of one chunk each, about the topics in turn, with their number as an attribute.

    Written as ingestion writes them, all in one transaction; the embedder is the stand-in.
    """
    with acting_for(member.tenant.id):
        store = store or make_store(name="workshops")
        with tenant_scope() as tenant_id:
            lock_store(store.id)
            numbers = range(start, start + documents)
            files = File.objects.bulk_create(
                File(
                    tenant_id=tenant_id, purpose="assistants", filename=f"{n}.txt", bytes=1, mime_type="text/plain",
                    sha256=f"{n:064}", storage_key=f"{tenant_id}/{n}", status="processed",
                )
                for n in numbers
            )  # fmt: skip
            attached = VectorStoreFile.objects.bulk_create(
                VectorStoreFile(
                    tenant_id=tenant_id, store=store, file=file, attributes={"number": n}, chunking={},
                    state="completed", chunk_count=1,
                )
                for n, file in zip(numbers, files, strict=True)
            )  # fmt: skip
            texts = [text_about(TOPICS[n % len(TOPICS)], n) for n in numbers]
            chunks = Chunk.objects.bulk_create(
                Chunk(
                    tenant_id=tenant_id,
                    store_file=at,
                    ordinal=0,
                    text=text,
                    start=0,
                    end=len(text),
                    tokens=len(text.split()),
                )
                for at, text in zip(attached, texts, strict=True)
            )
            vectors = embedder_for(store.embedding_model).embed(texts)
            Embedding.objects.bulk_create(
                Embedding(
                    tenant_id=tenant_id, space_id=store.space_id, chunk=chunk, passage=0, store_id=store.id,
                    store_file_id=chunk.store_file_id, embedding=HalfVector(vector),
                )
                for chunk, vector in zip(chunks, vectors, strict=True)
            )  # fmt: skip
            with connections["default"].cursor() as cursor:
                for at in attached:
                    cursor.execute("SELECT * FROM publish_chunks(%s, %s, %s)", [tenant_id, store.id, at.id])
    return store


def leaves(tenant_id: UUID) -> set[str]:
    """The tables in which the tenant's rows lie, as the database tells."""
    found = set()
    with connections["owner"].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT DISTINCT tableoid::regclass::text FROM {table} WHERE tenant_id = %s", [tenant_id])
            found |= {name for (name,) in cursor.fetchall()}
    return found


def is_own(tenant_id: UUID) -> bool:
    """Whether all rows lie in leaves of the tenant alone; asserts that none lie elsewhere then."""
    names = leaves(tenant_id)
    own = {name for name in names if name.endswith(f"_t{tenant_id.hex}")}
    assert own in (set(), names), names
    return bool(own)
