"""Files that are completed, cancelled, replaced and deleted at the same moment, by connections of their own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from billing.models import Reservation
from knowledge import file_batches, files, ingestion, purging, vector_stores
from knowledge.attachments import Wanted
from knowledge.models import (
    Chunk,
    ChunkTerms,
    Embedding,
    File,
    FileBatchEntry,
    StoreTerm,
    VectorStore,
    VectorStoreFile,
)  # fmt: skip
from knowledge.replacement import replace_file
from knowledge.retrieval import search
from tenants import work
from tenants.audit import COMMAND_LINE
from tenants.errors import NotFound
from tenants.models import Work
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import WORKER, attach, ingest, make_store, upload
from tests.tenants.committed import _django_db_helper, committed

__all__ = ["_django_db_helper", "committed"]
pytestmark = pytest.mark.django_db(databases=["default", "owner", "staff"])
ROUNDS = 4
State = VectorStoreFile.State


@pytest.fixture
def acting(committed, words):
    member = committed("acme")
    with acting_for(member.tenant.id):
        yield member


def at_once(acting, *calls):
    """Run the calls in threads that start together; their results, or what they raised."""
    start = threading.Barrier(len(calls))

    def run(call) -> Any:
        try:
            with acting_for(acting.tenant.id):
                start.wait(10)
                return call()
        except Exception as error:  # noqa: BLE001  the test looks at it
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def run_claim(claim):
    ingestion.run(claim, worker=WORKER)


def consistent(store):
    """Counters, terms, chunks and vectors tell the same; nothing is held, queued or orphaned."""
    with tenant_scope():
        store = VectorStore.objects.get(id=store.id)
        chunks = Chunk.objects.filter(store_file__store=store).count()
        lengths = list(ChunkTerms.objects.filter(store_id=store.id).values_list("length", flat=True))
        assert store.chunk_count == chunks == len(lengths)
        assert store.term_count == sum(lengths)
        assert Embedding.objects.values("chunk_id").distinct().count() == Chunk.objects.count()
        assert all(term.chunks <= chunks for term in StoreTerm.objects.filter(store_id=store.id))
        assert not Reservation.objects.filter(state="open").exists()
        for row in VectorStoreFile.objects.filter(store=store):
            assert row.chunk_count == Chunk.objects.filter(store_file=row).count(), row.state
            assert (row.state == State.COMPLETED) == (row.chunk_count > 0)


def test_a_file_deleted_while_it_is_completed_leaves_nothing(acting):
    store = make_store()
    for number in range(ROUNDS):
        file = upload(f"The heron of round {number} eats eels.")
        attach(store, file)
        claim = ingestion.claim_next(worker=WORKER)
        results = at_once(
            acting, lambda c=claim: run_claim(c), lambda f=file: files.delete_file(file_id=f.id, by=COMMAND_LINE)
        )
        assert not [result for result in results if isinstance(result, Exception)], results
        while (deleted := purging.claim_next(worker=WORKER)) is not None:
            purging.purge(deleted)
        consistent(store)
        with tenant_scope():
            assert not VectorStoreFile.objects.exists() and not File.all_rows.exists() and not Work.objects.exists()


def test_a_store_deleted_while_its_files_are_completed_leaves_nothing(acting):
    for number in range(ROUNDS):
        store = make_store()
        attach(store, upload(f"The heron of round {number} eats eels."))
        claim = ingestion.claim_next(worker=WORKER)

        def delete(store=store):
            vector_stores.delete_store(store_id=store.id, by=COMMAND_LINE)
            while (deleted := purging.claim_next(worker=WORKER)) is not None:
                purging.purge(deleted)

        results = at_once(acting, lambda c=claim: run_claim(c), delete)
        assert not [result for result in results if isinstance(result, Exception)], results
        with tenant_scope():
            for table in (VectorStoreFile, Chunk, Embedding, ChunkTerms, StoreTerm, Work):
                assert not table.objects.exists(), table
            assert not VectorStore.all_rows.exists()
            assert not Reservation.objects.filter(state="open").exists()


def test_a_batch_cancelled_while_it_is_completed_has_each_file_in_one_state(acting):
    store = make_store()
    for number in range(ROUNDS):
        wanted = [Wanted(upload(f"{number} {n}").id) for n in range(3)]
        batch = file_batches.create_batch(store_id=store.id, wanted=wanted, by=COMMAND_LINE)
        claims = [ingestion.claim_next(worker=WORKER) for _ in wanted]

        def cancel(batch=batch):
            return file_batches.cancel_batch(store_id=store.id, batch_id=batch.id, by=COMMAND_LINE)

        results = at_once(acting, cancel, *[lambda c=claim: run_claim(c) for claim in claims])
        assert not [result for result in results if isinstance(result, Exception)], results
        _, at_answer = results[0]
        _, now = file_batches.get_batch(store_id=store.id, batch_id=batch.id)
        assert at_answer == now  # what was answered was final
        assert (now.in_progress, now.completed + now.cancelled, now.total) == (0, 3, 3)
        consistent(store)
        with tenant_scope():
            assert not Work.objects.exists()


def test_two_replacements_at_once_leave_the_newest_and_nothing_else(acting):
    store = make_store()
    current = upload("The tower is of colour 0.")
    attach(store, current)
    ingest()
    for number in range(1, ROUNDS):
        new = [upload(f"The tower is of colour {number}{version}.") for version in "ab"]
        for file in new:
            attach(store, file, replaces=current.id)
        claims = [ingestion.claim_next(worker=WORKER) for _ in new]
        results = at_once(acting, *[lambda c=claim: run_claim(c) for claim in claims])
        assert not [result for result in results if isinstance(result, Exception)], results
        current = new[-1]
        answers = [passage.text for passage in search(store_ids=[store.id], query="tower").passages]
        assert answers == [f"The tower is of colour {number}b."]
        consistent(store)


def test_a_file_whose_stores_switch_at_once_is_deleted_once(acting):
    stores = [make_store() for _ in range(4)]
    old = upload("The tower is red.")
    for store in stores:
        attach(store, old)
    ingest()
    new = upload("The tower is green.")
    assert replace_file(old_file_id=old.id, new_file_id=new.id, by=COMMAND_LINE) == 4
    claims = [ingestion.claim_next(worker=WORKER) for _ in stores]
    results = at_once(acting, *[lambda c=claim: run_claim(c) for claim in claims])
    assert not [result for result in results if isinstance(result, Exception)], results
    ingest()  # those that waited for a run that read the same file
    with pytest.raises(NotFound):
        files.get_file(file_id=old.id)
    assert work.depth(work.PURGING).queued == 1
    for store in stores:
        consistent(store)


def test_searches_see_one_version_at_every_moment(acting):
    store = make_store()
    current = upload("The tower is of colour 0.")
    attach(store, current)
    ingest()
    done = threading.Event()
    seen = []

    def look():
        while not done.is_set():
            seen.append([passage.text for passage in search(store_ids=[store.id], query="tower").passages])

    def replace():
        try:
            old = current
            for number in range(1, 12):
                new = upload(f"The tower is of colour {number}.")
                attach(store, new, replaces=old.id)
                ingest()
                old = new
        finally:
            done.set()

    results = at_once(acting, look, replace)
    assert results == [None, None]
    assert len({texts[0] for texts in seen if texts}) > 1
    assert {len(texts) for texts in seen} == {1}


def test_attaching_while_a_file_is_deleted_leaves_nothing_of_it(acting):
    store = make_store()
    for _ in range(ROUNDS):
        file = upload("The heron eats eels.")

        def attach_it(file=file):
            attach(store, file)

        def delete(file=file):
            files.delete_file(file_id=file.id, by=COMMAND_LINE)
            while (deleted := purging.claim_next(worker=WORKER)) is not None:
                purging.purge(deleted)

        attached, deleted = at_once(acting, attach_it, delete)
        assert attached is None or isinstance(attached, NotFound), attached
        assert deleted is None, deleted
        with tenant_scope():
            assert not VectorStoreFile.objects.exists() and not File.all_rows.exists()
            assert not FileBatchEntry.objects.exists()
        ingest()
