"""What expires answers so from that moment, and is removed by the sweep, once."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.models import Reservation
from knowledge import attachments, expiry, file_batches, purging, storage, tasks, vector_stores
from knowledge.attachments import Wanted
from knowledge.lifetime import StoreExpired
from knowledge.models import Chunk, ChunkTerms, Embedding, File, StoreTerm, VectorStore, VectorStoreFile
from knowledge.retrieval import search
from tenants.audit import COMMAND_LINE
from tenants.errors import NotFound
from tenants.models import AuditEvent, Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, purge, upload

NOW = datetime.now(UTC)
State = VectorStoreFile.State


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


@pytest.fixture
def store(acting):
    store = make_store(expires_after_days=1)
    attach(store, upload("The heron eats eels."), attributes={"a": 1})
    ingest()
    return store


def let_a_day_pass(store):
    with tenant_scope():
        VectorStore.objects.filter(id=store.id).update(last_active_at=NOW - timedelta(days=1))


def sweep():
    with leave_tenant():
        tasks.sweep_expiry()
    return purge()


def test_an_expired_store_refuses_searches_and_files(store):
    let_a_day_pass(store)
    for _ in range(2):  # before the sweep, and after it
        with pytest.raises(StoreExpired):
            search(store_ids=[store.id], query="heron")
        with pytest.raises(StoreExpired):
            attach(store, upload("more"))
        with pytest.raises(StoreExpired):
            vector_stores.update_store(store_id=store.id, changes={"expires_after_days": 30}, by=COMMAND_LINE)
        sweep()


def test_an_expired_store_loses_its_content_and_keeps_its_list_of_files(store):
    waiting = attach(store, upload("waiting"))
    let_a_day_pass(store)
    assert sweep() == 1
    with tenant_scope():
        for table in (Chunk, Embedding, ChunkTerms, StoreTerm, Work):
            assert not table.objects.exists(), table
        store.refresh_from_db()
        assert (store.chunk_count, store.term_count) == (0, 0)
        rows = list(attachments.attachments_of(store).order_by("id"))
        assert [(row.state, row.usage_bytes, row.attributes) for row in rows] == [
            (State.COMPLETED, 0, {"a": 1}),
            (State.CANCELLED, 0, {}),
        ]
        assert rows[1].id == waiting.id
        assert AuditEvent.objects.get(action="vector_store.expired").actor_type == "system"
    assert ingest() == 0
    again = make_store(file_ids=[row.file_id for row in rows])
    ingest()
    assert [hit.text for hit in search(store_ids=[again.id], query="heron", limit=1).passages] == [
        "The heron eats eels."
    ]


def test_the_chunks_of_an_expired_store_are_not_taken_for_a_file_of_the_same_content(store, words):
    let_a_day_pass(store)
    with leave_tenant():
        tasks.sweep_expiry()
    words.embedded.clear()
    attach(make_store(), upload("The heron eats eels."))
    ingest()
    assert words.embedded == ["The heron eats eels."]


def test_a_store_in_use_does_not_expire(store):
    with tenant_scope():
        VectorStore.objects.filter(id=store.id).update(last_active_at=NOW - timedelta(hours=23))
    sweep()
    assert [hit.text for hit in search(store_ids=[store.id], query="heron").passages] == ["The heron eats eels."]
    let_a_day_pass(store)
    expiry.expire_store(store.id, now=NOW - timedelta(minutes=1))  # found by a sweep, used since then
    assert vector_stores.get_store(store_id=store.id).expired_at is None


def test_the_sweep_can_run_twice(store):
    let_a_day_pass(store)
    sweep()
    assert sweep() == 0
    expiry.expire_store(store.id, now=datetime.now(UTC))
    with tenant_scope():
        assert AuditEvent.objects.filter(action="vector_store.expired").count() == 1


def test_an_expired_store_can_be_deleted(store):
    let_a_day_pass(store)
    sweep()
    vector_stores.delete_store(store_id=store.id, by=COMMAND_LINE)
    purge()
    with tenant_scope():
        assert not VectorStore.all_rows.exists() and not VectorStoreFile.objects.exists()


def expire(file):
    with tenant_scope():
        File.objects.filter(id=file.id).update(expires_at=NOW - timedelta(seconds=1))


def test_an_expired_file_is_removed_from_its_stores_with_its_bytes(acting):
    store, file = make_store(), upload("The heron eats eels.")
    attach(store, file)
    ingest()
    batch = file_batches.create_batch(store_id=store.id, wanted=[Wanted(file.id)], by=COMMAND_LINE)
    expire(file)
    assert sweep() == 1
    assert search(store_ids=[store.id], query="heron").passages == []
    assert not storage.exists(file.id)
    assert file_batches.get_batch(store_id=store.id, batch_id=batch.id)[1].total == 0
    with tenant_scope():
        assert not File.all_rows.exists() and not Chunk.objects.exists()
        event = AuditEvent.objects.get(action="file.deleted")
        assert (event.actor_type, event.changes) == ("system", {"reason": "expired"})


def test_a_file_that_expires_while_it_is_ingested_leaves_nothing(acting, words, monkeypatch):
    store, file = make_store(), upload("one two three")
    attach(store, file)
    embed = words.embed

    def expire_then_embed(texts):
        expire(file)
        sweep()
        return embed(texts)

    monkeypatch.setattr(words, "embed", expire_then_embed)
    ingest()
    with tenant_scope():
        for table in (VectorStoreFile, Chunk, Embedding, Work):
            assert not table.objects.exists(), table
        assert not File.all_rows.exists()
        assert not Reservation.objects.filter(state="open").exists()


def test_the_sweep_goes_over_all_tenants_each_in_its_scope(acting, globex):
    mine = upload("mine")
    expire(mine)
    with leave_tenant(), acting_for(globex.tenant.id):
        theirs = upload("theirs")
        expire(theirs)
    sweep()
    for member, file in ((acting, mine), (globex, theirs)):
        with leave_tenant(), acting_for(member.tenant.id), tenant_scope():
            assert not File.all_rows.exists()
            assert AuditEvent.objects.filter(action="file.deleted", object_id=str(file.id)).count() == 1


def test_a_large_store_is_removed_in_steps_and_hidden_from_the_first(acting, monkeypatch):
    monkeypatch.setattr(purging, "CHUNKS_AT_ONCE", 2)
    store = make_store()
    for number in range(5):
        attach(store, upload(f"The heron of pond {number} eats eels."))
    ingest()
    vector_stores.delete_store(store_id=store.id, by=COMMAND_LINE)
    with pytest.raises(NotFound):
        search(store_ids=[store.id], query="heron")
    with tenant_scope():
        assert Chunk.objects.count() == 5
    assert purge() >= 3
    with tenant_scope():
        for table in (Chunk, Embedding, ChunkTerms, StoreTerm, VectorStoreFile, Work):
            assert not table.objects.exists(), table
        assert not VectorStore.all_rows.exists()
