"""File batches: attached at once, counted in one moment, cancelled together."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Reservation, UsageRecord
from knowledge import attachments, file_batches, files, ingestion
from knowledge.attachments import Wanted
from knowledge.chunking import ChunkingStrategy
from knowledge.models import Chunk, FileBatchEntry, VectorStoreFile
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import AuditEvent, Work
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

State = VectorStoreFile.State


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


def make_batch(store, files, **options):
    wanted = [one if isinstance(one, Wanted) else Wanted(one.id) for one in files]
    return file_batches.create_batch(store_id=store.id, wanted=wanted, by=COMMAND_LINE, **options)


def look(batch):
    """(status, in_progress, completed, failed, cancelled, total)"""
    found, counts = file_batches.get_batch(store_id=batch.store_id, batch_id=batch.id)
    numbers = (counts.in_progress, counts.completed, counts.failed, counts.cancelled, counts.total)
    return file_batches.status_of(found, counts), *numbers


def test_a_batch_is_in_progress_until_its_last_file_is_done(acting):
    batch = make_batch(make_store(), [upload("one"), upload("two"), upload("three")])
    assert look(batch) == ("in_progress", 3, 0, 0, 0, 3)
    assert ingest(limit=2) == 2
    assert look(batch) == ("in_progress", 1, 2, 0, 0, 3)
    ingest()
    assert look(batch) == ("completed", 0, 3, 0, 0, 3)


def test_files_that_fail_are_counted_and_do_not_fail_the_others(acting):
    batch = make_batch(make_store(), [upload("good"), upload(b"\x7fELF\0\0", name="program.bin")])
    ingest()
    assert look(batch) == ("completed", 0, 1, 1, 0, 2)


def test_a_batch_of_which_every_file_failed_has_failed(acting):
    batch = make_batch(make_store(), [upload(b"\x7fELF\0\0", name="program.bin")])
    ingest()
    assert look(batch) == ("failed", 0, 0, 1, 0, 1)


def test_each_file_of_a_batch_can_be_described_and_cut_by_itself(acting):
    first, second = upload("one"), upload("two")
    small = ChunkingStrategy(max_chunk_size_tokens=100, chunk_overlap_tokens=0)
    store = make_store()
    make_batch(store, [Wanted(first.id, {"n": 1}, small), Wanted(second.id, {"n": 2})])
    with tenant_scope():
        rows = {row.file_id: row for row in VectorStoreFile.objects.all()}
    assert (rows[first.id].attributes, rows[second.id].attributes) == ({"n": 1}, {"n": 2})
    assert [rows[file.id].chunking["max_chunk_size_tokens"] for file in (first, second)] == [100, 800]


def test_a_batch_is_attached_whole_or_not_at_all(acting):
    store, file = make_store(), upload("one")
    with pytest.raises(NotFound) as missing:
        make_batch(store, [Wanted(file.id), Wanted(uuid7())])
    assert missing.value.param == "file_ids"
    with pytest.raises(InvalidRequest):
        make_batch(store, [Wanted(file.id), Wanted(upload("two").id, {"k": [1]})])
    with tenant_scope():
        assert not VectorStoreFile.objects.exists() and not Work.objects.exists()


@pytest.mark.parametrize("count", [0, file_batches.MAX_FILES + 1])
def test_a_batch_has_one_to_two_thousand_files(acting, count):
    with pytest.raises(InvalidRequest):
        make_batch(make_store(), [Wanted(uuid7())] * count)


def test_attaching_many_files_takes_no_more_statements_than_attaching_few(acting):
    store = make_store()
    few, many = [upload("x") for _ in range(2)], [upload("x") for _ in range(40)]
    statements = []
    for files_of_it in (few, many):
        with CaptureQueriesContext(connection) as seen:
            make_batch(store, files_of_it)
        statements.append(len(seen))
    assert statements[1] <= statements[0] < 25
    with tenant_scope():
        assert AuditEvent.objects.filter(action="vector_store_file.attached").count() == 42


def test_a_file_that_is_there_belongs_to_the_batch_without_being_ingested_again(acting):
    store, file = make_store(), upload("one")
    there = attach(store, file, attributes={"a": 1})
    ingest()
    batch = make_batch(store, [file, file])
    assert look(batch) == ("completed", 0, 1, 0, 0, 1)
    assert ingest() == 0
    with tenant_scope():
        there.refresh_from_db()
    assert there.attributes == {"a": 1}


def test_a_detached_file_leaves_its_batches(acting):
    store, file = make_store(), upload("one")
    batch = make_batch(store, [file, upload("two")])
    ingest()
    attachments.detach(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
    assert look(batch) == ("completed", 0, 1, 0, 0, 1)
    files.delete_file(file_id=_only_file(), by=COMMAND_LINE)
    assert look(batch) == ("completed", 0, 0, 0, 0, 0)
    with tenant_scope():
        assert not FileBatchEntry.objects.exists()


def _only_file():
    with tenant_scope():
        return VectorStoreFile.objects.get().file_id


def cancel(batch):
    file_batches.cancel_batch(store_id=batch.store_id, batch_id=batch.id, by=COMMAND_LINE)


def test_a_cancelled_batch_keeps_what_is_done_and_stops_the_rest(acting):
    batch = make_batch(make_store(), [upload("one"), upload("two"), upload("three")])
    ingest(limit=1)
    cancel(batch)
    assert look(batch) == ("cancelled", 0, 1, 0, 2, 3)
    assert ingest() == 0
    with tenant_scope():
        assert not Work.objects.exists()
        assert Chunk.objects.count() == 1
    cancel(batch)
    assert look(batch) == ("cancelled", 0, 1, 0, 2, 3)


def test_cancelling_what_is_done_changes_nothing(acting):
    batch = make_batch(make_store(), [upload("one")])
    ingest()
    cancel(batch)
    assert look(batch) == ("completed", 0, 1, 0, 0, 1)


def test_a_run_under_way_that_is_cancelled_writes_nothing_and_holds_nothing(acting, words, monkeypatch):
    batch = make_batch(make_store(), [upload("one two three")])
    embed = words.embed

    def cancel_then_embed(texts):
        with tenant_scope():
            assert Reservation.objects.filter(state="open").count() == 1
        cancel(batch)
        return embed(texts)

    monkeypatch.setattr(words, "embed", cancel_then_embed)
    assert ingest() == 1
    assert look(batch) == ("cancelled", 0, 0, 0, 1, 1)
    with tenant_scope():
        assert not Chunk.objects.exists() and not UsageRecord.objects.exists()
        assert not Reservation.objects.filter(state="open").exists()
        assert [state for (state,) in VectorStoreFile.objects.values_list("state")] == [State.CANCELLED]


def test_a_cancelled_file_can_be_attached_again(acting):
    store, file = make_store(), upload("one")
    cancel(make_batch(store, [file]))
    again = make_batch(store, [file])
    assert ingestion.claim_next(worker="w") is not None
    assert look(again) == ("in_progress", 1, 0, 0, 0, 1)
