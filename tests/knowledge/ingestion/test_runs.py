"""A document is ingested exactly once, whatever dies on the way, and a bad one only fails itself."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.budgets import setting
from billing.models import Reservation, UsageRecord
from billing.prices import quote
from billing.reservations import reserve
from knowledge import attachments, files, storage, vector_stores
from knowledge.chunking import ChunkingStrategy
from knowledge.ingestion import company, publishing, runs
from knowledge.ingestion.company import Company
from knowledge.models import Chunk, ChunkTerms, Embedding, StoreTerm, VectorStore, VectorStoreFile
from knowledge.ports import EmbedderUnavailable
from knowledge.retrieval import search
from tenants import scope
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id
from tenants.models import Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import attach, expire_leases, ingest, make_store, purge, recover, upload
from tests.webhooks import listen, told

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


def test_each_vector_knows_the_span_that_was_embedded(acting, words):
    text = "".join(f"Keeper number {number} writes the weather into the book of the house. " for number in range(400))
    attached = attach(make_store(), upload(text))
    ingest()
    with tenant_scope():
        rows = list(Embedding.objects.filter(store_file_id=attached.id).select_related("chunk"))
    means = [row for row in rows if (row.start, row.end) == (row.chunk.start, row.chunk.end)]
    passages = {text[row.start : row.end] for row in rows if row not in means}
    assert passages == set(words.embedded) and len(passages) > 10
    assert len(means) == len({row.chunk_id for row in rows})


def test_nothing_of_a_document_is_searchable_before_it_is_completed(acting, words):
    attach(make_store(), upload(TEXT))
    words.fails.append(RuntimeError("a defect"))
    with pytest.raises(RuntimeError):
        ingest()
    with tenant_scope():
        assert not Chunk.objects.exists() and not Embedding.objects.exists() and not StoreTerm.objects.exists()


def ledger():
    with tenant_scope():
        return list(UsageRecord.objects.values_list("operation", "meter", "quantity"))


def open_holds():
    with tenant_scope():
        return Reservation.objects.filter(state="open").count()


def test_the_tokens_are_charged_once_to_the_key_that_attached_the_file(acting):
    key_id = uuid.uuid4()
    attach(make_store(), upload("one two three four five"), key_id=key_id)
    ingest()
    assert ledger() == [("ingestion", "embedding_tokens", 5)]
    with tenant_scope():
        assert UsageRecord.objects.get().key_id == key_id
    assert open_holds() == 0


@pytest.mark.parametrize("dies_in", ["parse", "chunk", "_hold", "embed", "complete", "publish"])
def test_a_worker_that_dies_is_followed_by_one_that_completes_exactly_once(acting, monkeypatch, dies_in):
    attached = attach(make_store(), upload(TEXT))

    class Killed(BaseException):
        """As a kill would: nothing catches it."""

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(publishing if dies_in == "publish" else runs, dies_in, die)
        with pytest.raises(Killed):
            ingest()
    assert ingest() == 0  # still the dead worker's
    expire_leases()
    assert recover() == 1
    assert ingest() == 1
    with tenant_scope():
        attached.refresh_from_db()
        assert (attached.state, attached.attempts) == (State.COMPLETED, 2)
        assert Chunk.objects.count() == attached.chunk_count == VectorStore.objects.get().chunk_count
        assert not Work.objects.exists()
    assert len(ledger()) == 1
    assert open_holds() == 0


def test_a_file_that_kills_every_worker_is_a_dead_letter_after_five_attempts(acting, monkeypatch):
    attached = attach(make_store(), upload(TEXT))

    class Killed(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    monkeypatch.setattr(runs, "parse", die)
    for _ in range(5):
        with pytest.raises(Killed):
            ingest()
        expire_leases()
        recover()
    assert ingest() == 0
    with tenant_scope():
        attached.refresh_from_db()
        assert (attached.state, attached.error_code) == (State.FAILED, "server_error")
        assert "5 times" in attached.error_message
        assert Work.objects.get().state == "dead"
    attach(make_store(), upload("another"))
    monkeypatch.undo()
    assert ingest() == 1


def test_a_run_whose_claim_was_taken_over_writes_nothing(acting, monkeypatch):
    """The first run sleeps through its lease; a second completes; the first wakes up."""
    attached = attach(make_store(), upload(TEXT))
    embed, second = runs.embed, []

    def oversleep(*args: object, **kwargs: object) -> object:
        if not second:
            second.append(1)
            expire_leases()
            recover()
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr(company, "here", Company())  # another process
                assert ingest() == 1
        return embed(*args, **kwargs)

    monkeypatch.setattr(runs, "embed", oversleep)
    ingest(limit=1)
    with tenant_scope():
        attached.refresh_from_db()
        assert attached.state == State.COMPLETED
        assert Chunk.objects.count() == attached.chunk_count
    assert len(ledger()) == 1
    assert open_holds() == 0


def test_a_file_detached_while_it_is_ingested_leaves_no_trace(acting, monkeypatch):
    store, file = make_store(), upload(TEXT)
    attach(store, file)
    embed = runs.embed

    def detach_meanwhile(*args: object, **kwargs: object) -> object:
        attachments.detach(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
        return embed(*args, **kwargs)

    monkeypatch.setattr(runs, "embed", detach_meanwhile)
    assert ingest() == 1
    with tenant_scope():
        assert not Chunk.objects.exists() and not Work.objects.exists() and not VectorStoreFile.objects.exists()


def test_a_temporary_fault_is_tried_again_with_growing_delays(acting, words):
    attached = attach(make_store(), upload(TEXT))
    for delay in (2, 4):
        words.fails.append(EmbedderUnavailable("away"))
        assert ingest() == 1
        with tenant_scope():
            unit = Work.objects.get()
            attached.refresh_from_db()
            assert (unit.state, attached.state) == ("delayed", State.QUEUED)
            wait = unit.available_at - datetime.now(UTC)
            assert timedelta(seconds=delay - 1) < wait <= timedelta(seconds=delay)
            Work.objects.update(state="queued")
        assert open_holds() == 0
    assert ingest() == 1
    with tenant_scope():
        attached.refresh_from_db()
        assert attached.state == State.COMPLETED
    assert len(ledger()) == 1


def test_the_same_content_is_embedded_once(acting, words):
    first = attach(make_store(), upload(TEXT))
    ingest()
    embedded = len(words.embedded)
    second = attach(make_store(), upload(TEXT, "copy.txt"))
    ingest()
    assert len(words.embedded) == embedded and len(ledger()) == 1
    with tenant_scope():
        first.refresh_from_db()
        second.refresh_from_db()
        assert second.state == State.COMPLETED
        assert (second.chunk_count, second.usage_bytes) == (first.chunk_count, first.usage_bytes) != (0, 0)
        for table in (Embedding, ChunkTerms):
            counts = [table.objects.filter(store_file_id=row.id).count() for row in (first, second)]
            assert counts[0] == counts[1] > 0
    found = search(store_ids=[second.store_id], query="lighthouse keeper").passages
    assert {passage.store_file_id for passage in found} == {second.id}


def test_another_chunking_and_another_tenant_do_not_share(acting, globex, words):
    attach(make_store(), upload(TEXT))
    ingest()
    for tenant, strategy in ((acting, ChunkingStrategy(100, 0)), (globex, ChunkingStrategy())):
        embedded = len(words.embedded)
        with leave_tenant(), acting_for(tenant.tenant.id):
            attach(make_store(), upload(TEXT), strategy=strategy)
            ingest()
        assert len(words.embedded) > embedded


def test_a_bad_file_fails_with_its_reason_and_the_next_is_done(acting):
    listen(acting)
    store = make_store()
    bad = {
        "tool.pdf": (b"\x7fELF" + bytes(64), "unsupported_file", "program"),
        "cut.pdf": (b"%PDF-1.7 and no more", "invalid_file", "damaged"),
        "blank.txt": (b" \n \n", "invalid_file", "empty"),
        "old.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "unsupported_file", "2007"),
    }
    rows = {name: attach(store, upload(data, name)) for name, (data, _, _) in bad.items()}
    good = attach(store, upload(TEXT))
    assert ingest() == 5
    with tenant_scope():
        for name, row in rows.items():
            row.refresh_from_db()
            assert (row.state, row.error_code) == (State.FAILED, bad[name][1])
            assert bad[name][2] in row.error_message, row.error_message
        good.refresh_from_db()
        assert good.state == State.COMPLETED
        counts = vector_stores.file_counts([store.id])[store.id]
        assert (counts.completed, counts.failed, counts.in_progress, counts.total) == (1, 4, 0, 5)
    ready = {"id": public_id("file-", good.file_id), "vector_store_id": public_id("vs_", store.id)}
    events = told(acting)
    assert len(events) == 5 and ("file.processed", ready) in events
    assert {data["code"] for kind, data in events if kind == "file.failed"} == {"unsupported_file", "invalid_file"}
    assert open_holds() == 0


def set_budget(limit: str):
    return setting.set_budget(name="month", limit=Decimal(limit), currency="USD", by=COMMAND_LINE)


def test_a_spent_budget_fails_the_file_and_names_the_budget(acting):
    set_budget("0.00000001")
    attached = attach(make_store(), upload(TEXT))
    ingest()
    with tenant_scope():
        attached.refresh_from_db()
        assert (attached.state, attached.error_code) == (State.FAILED, "server_error")
        assert "'month' is exhausted" in attached.error_message
    assert ledger() == []


def test_a_held_budget_makes_the_file_wait_without_counting(acting):
    set_budget("1")
    attached = attach(make_store(), upload(TEXT))
    with tenant_scope():
        prices = quote(needs=[("local-extractive", "input_tokens")], currency="USD", now=datetime.now(UTC))
        reserve(
            reservation_id=uuid.uuid4(), request_id=uuid.uuid4(), key_id=None, operation="chat", hold=Decimal(1),
            currency="USD", quote=prices, lease=timedelta(minutes=1),
        )  # fmt: skip
    ingest()
    with tenant_scope():
        attached.refresh_from_db()
        assert (attached.state, attached.attempts, Work.objects.get().state) == (State.QUEUED, 0, "delayed")


def test_no_transaction_is_open_while_a_document_is_embedded(acting, words, monkeypatch):
    attach(make_store(), upload(TEXT))
    seen, embed = [], words.embed
    monkeypatch.setattr(words, "embed", lambda texts: seen.append(scope._open_scope.get()) or embed(texts))
    ingest()
    assert seen and set(seen) == {None}


def test_deleting_a_file_removes_rows_terms_and_bytes(acting, django_capture_on_commit_callbacks):
    store, file, other = make_store(), upload(TEXT), upload("Something else about a lighthouse.")
    attach(store, file)
    attach(store, other)
    ingest()
    with django_capture_on_commit_callbacks(execute=True):
        files.delete_file(file_id=file.id, by=COMMAND_LINE)
    assert purge() == 1
    assert not storage.exists(file.id) and storage.exists(other.id)
    with tenant_scope():
        assert Chunk.objects.count() == ChunkTerms.objects.count() == 1
        assert set(StoreTerm.objects.filter(chunks__gt=0).values_list("chunks", flat=True)) == {1}
        store.refresh_from_db()
        assert (store.chunk_count, store.term_count) == (1, ChunkTerms.objects.get().length)
    assert [passage.file_id for passage in search(store_ids=[store.id], query="lighthouse").passages] == [other.id]


def test_deleting_a_store_leaves_its_files_and_nothing_else(acting):
    store, file = make_store(), upload(TEXT)
    attach(store, file)
    ingest()
    attach(store, upload("waiting"))
    vector_stores.delete_store(store_id=store.id, by=COMMAND_LINE)
    assert purge() == 1
    with tenant_scope():
        for table in (VectorStore, VectorStoreFile, Chunk, Embedding, ChunkTerms, StoreTerm, Work):
            assert not table.objects.exists(), table
    assert files.get_file(file_id=file.id).id == file.id and storage.exists(file.id)


def test_attaching_again_only_sets_the_attributes(acting):
    store, file = make_store(), upload(TEXT)
    first = attach(store, file, attributes={"a": 1})
    ingest()
    again = attach(store, file, attributes={"a": 2})
    assert (again.id, again.attributes, ingest()) == (first.id, {"a": 2}, 0)


def test_a_failed_file_is_tried_anew_when_attached_again(acting, monkeypatch):
    set_budget("0.00000001")
    store, file = make_store(), upload(TEXT)
    attach(store, file)
    ingest()
    set_budget("1")
    again = attach(store, file)
    ingest()
    with tenant_scope():
        again.refresh_from_db()
        assert again.state == State.COMPLETED
