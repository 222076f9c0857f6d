"""Stores, files and a worker: the domain functions a client's request reaches, and one run of the ingestion task."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.embedding import embedder_for
from knowledge import attachments, files, ingestion, ports, purging, reembedding, vector_stores
from knowledge.files import Upload
from knowledge.models import File, VectorStore, VectorStoreFile
from knowledge.parsing import fork_server
from tenants import work
from tenants.audit import COMMAND_LINE
from tenants.models import Work
from tenants.scope import acting_for, leave_tenant, tenant_scope

WORKER = "a worker"


class WordEmbedder:
    """Deterministic vectors in place of a model: texts with the same words are near each other. Counts its calls."""

    model = "all-MiniLM-L6-v2"
    space = "words@1"
    dimensions = 64
    max_tokens = 256
    texts_at_once = 32
    counts_word_pieces = False

    def __init__(self) -> None:
        self.embedded: list[str] = []
        self.fails: list[Exception] = []

    def embed(self, texts: Any) -> np.ndarray:
        if self.fails:
            raise self.fails.pop(0)
        self.embedded += texts
        return np.array([self._vector(text) for text in texts], np.float32).reshape(len(texts), self.dimensions)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def _vector(self, text: str) -> np.ndarray:
        vector = np.zeros(self.dimensions)
        for word in re.findall(r"\w+", text.lower()):
            vector[sum(word.encode()) % self.dimensions] += 1
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


@pytest.fixture(autouse=True)
def _files_of_this_test(settings: Any, tmp_path: Path) -> None:
    storages = {**settings.STORAGES}
    storages["default"] = {**storages["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = storages


@pytest.fixture(scope="session", autouse=True)
def _the_parser_ends_with_the_session() -> Iterator[None]:
    yield
    fork_server.shut_down()


@pytest.fixture
def words() -> Iterator[WordEmbedder]:
    """The fast stand-in for the embedding model."""
    embedder = WordEmbedder()
    before = ports._source
    ports.wire(lambda model: embedder)
    yield embedder
    ports._source = before


@pytest.fixture
def minilm() -> Iterator[None]:
    """The real embedding model."""
    before = ports._source
    ports.wire(embedder_for)
    yield
    ports._source = before


def upload(text: str | bytes, name: str = "notes.txt") -> File:
    """A file of the current tenant."""
    data = text.encode() if isinstance(text, str) else text
    sent = Upload(filename=name, content=io.BytesIO(data), size=len(data))
    return files.create_file(upload=sent, purpose="assistants", by=COMMAND_LINE, now=datetime.now(UTC))


def make_store(**options: Any) -> VectorStore:
    """A store of the current tenant."""
    return vector_stores.create_store(by=COMMAND_LINE, **options)


def attach(store: VectorStore, file: File, **options: Any) -> VectorStoreFile:
    """`file` in `store`, queued."""
    return attachments.attach(store_id=store.id, file_id=file.id, by=COMMAND_LINE, **options)


def ingest(limit: int = 100) -> int:
    """Run the worker until nothing waits; returns how many units it ran."""
    for count in range(limit):
        claim = ingestion.claim_next(worker=WORKER)
        if claim is None:
            return count
        with leave_tenant(), acting_for(claim.tenant_id):
            ingestion.run(claim, worker=WORKER)
    return limit


def purge(limit: int = 100) -> int:
    """Remove what is left of deleted files and stores; returns in how many steps."""
    for count in range(limit):
        claim = purging.claim_next(worker=WORKER)
        if claim is None:
            return count
        with leave_tenant(), acting_for(claim.tenant_id):
            purging.purge(claim)
    return limit


def expire_leases() -> None:
    """Let the current tenant's leases run out, as if its workers were long dead."""
    with tenant_scope():
        Work.objects.filter(state="running").update(lease_until=datetime.now(UTC) - timedelta(seconds=1))


def recover() -> int:
    """What the sweep does with expired leases; returns how many there were."""
    found = work.expired(work.INGESTION)
    for claim in found:
        with leave_tenant(), acting_for(claim.tenant_id):
            ingestion.recover(claim)
    return len(found)


def reembed(limit: int = 100, *, cleaning: bool = True) -> int:
    """Run the units of re-embedding until nothing waits, the delayed cleaning too; returns how many."""
    for count in range(limit):
        if cleaning:
            with tenant_scope():
                Work.objects.filter(queue=work.REEMBEDDING, state="delayed").update(state="queued")
        claim = reembedding.claim_next(worker=WORKER)
        if claim is None:
            return count
        with leave_tenant(), acting_for(claim.tenant_id):
            reembedding.run(claim, worker=WORKER)
    return limit
