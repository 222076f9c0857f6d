"""A document is ingested exactly once, whatever dies on the way, and a bad one only fails itself."""

import pytest

from knowledge.models import Chunk, ChunkTerms, Embedding, StoreTerm, VectorStore, VectorStoreFile
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

TEXT = "The lighthouse keeper writes the weather into his book. " * 60
State = VectorStoreFile.State


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


def test_a_document_becomes_searchable_chunks(acting, words):
    store = make_store(name="notes")
    attached = attach(store, upload(TEXT))
    assert attached.state == State.QUEUED
    assert ingest() == 1
    with tenant_scope():
        attached.refresh_from_db()
        assert (attached.state, attached.percent, attached.error_code) == (State.COMPLETED, 100, "")
        chunks = list(Chunk.objects.filter(store_file=attached).order_by("ordinal"))
        assert all(TEXT[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        assert attached.chunk_count == len(chunks) == ChunkTerms.objects.count() > 0
        assert Embedding.objects.values("chunk_id").distinct().count() == len(chunks)
        assert VectorStore.objects.get().chunk_count == len(chunks)
        assert StoreTerm.objects.filter(chunks=len(chunks)).exists()
