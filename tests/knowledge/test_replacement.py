"""A new version takes the old one's place in one moment, or not at all."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.models import UsageRecord
from knowledge import attachments, files
from knowledge.chunking import ChunkingStrategy
from knowledge.models import Chunk, ChunkTerms, Embedding, File, VectorStore, VectorStoreFile
from knowledge.replacement import replace_file
from knowledge.retrieval import search
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.models import AuditEvent, Work
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, purge, upload

State = VectorStoreFile.State
OLD, NEW, NEWEST = "The tower is red.", "The tower is green.", "The tower is blue."
BAD = b"\x7fELF\0\0"


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


@pytest.fixture
def store(acting):
    return make_store()


@pytest.fixture
def old(store):
    file = upload(OLD)
    attach(store, file, attributes={"page": 1})
    ingest()
    return file


def answers(store):
    return [passage.text for passage in search(store_ids=[store.id], query="tower").passages]


def states(store):
    with tenant_scope():
        return dict(VectorStoreFile.objects.filter(store=store).values_list("file_id", "state"))


def test_the_old_version_answers_until_the_new_one_is_completed(store, old):
    new = upload(NEW)
    attach(store, new, replaces=old.id)
    assert answers(store) == [OLD]
    ingest()
    assert answers(store) == [NEW]
    assert states(store) == {new.id: State.COMPLETED}
    assert files.get_file(file_id=old.id).id == old.id  # only detached: nobody asked to delete it


def test_of_the_old_version_nothing_is_left_in_the_store(store, old):
    attach(store, upload(NEW), replaces=old.id)
    ingest()
    with tenant_scope():
        assert Chunk.objects.count() == ChunkTerms.objects.count() == Embedding.objects.count() == 1
        store.refresh_from_db()
        assert (store.chunk_count, store.term_count) == (1, ChunkTerms.objects.get().length)


def test_a_new_version_that_fails_leaves_the_old_one(store, old):
    new = upload(BAD, name="program.bin")
    attach(store, new, replaces=old.id)
    ingest()
    assert answers(store) == [OLD]
    assert states(store) == {old.id: State.COMPLETED, new.id: State.FAILED}


def test_of_two_versions_at_once_the_newer_stays_whichever_is_done_first(store, old):
    new, newest = upload(NEW), upload(NEWEST)
    attach(store, new, replaces=old.id)
    attach(store, newest, replaces=old.id)
    ingest()
    assert answers(store) == [NEWEST]
    assert states(store) == {newest.id: State.COMPLETED}


def test_an_older_version_that_comes_too_late_is_cancelled(store, old, monkeypatch):
    new, newest = upload(NEW), upload(NEWEST)
    late = attach(store, new, replaces=old.id)
    attach(store, newest, replaces=old.id)
    _postpone(late)
    ingest(limit=1)
    assert answers(store) == [NEWEST]
    assert ingest() == 0
    assert states(store) == {new.id: State.CANCELLED, newest.id: State.COMPLETED}


def _postpone(attached):
    """Let the other one be claimed first."""
    with tenant_scope():
        Work.objects.filter(id=attached.id).update(available_at=datetime.now(UTC) + timedelta(hours=1))


def test_a_version_can_be_replaced_before_it_is_done(store, old):
    new, newest = upload(BAD, name="program.bin"), upload(NEWEST)
    attach(store, new, replaces=old.id)
    attach(store, newest, replaces=new.id)
    ingest()
    assert answers(store) == [NEWEST]
    assert states(store) == {newest.id: State.COMPLETED}


def test_detaching_the_old_version_meanwhile_leaves_the_new_one_to_come(store, old):
    attach(store, upload(NEW), replaces=old.id)
    attachments.detach(store_id=store.id, file_id=old.id, by=COMMAND_LINE)
    assert answers(store) == []
    ingest()
    assert answers(store) == [NEW]


def test_what_is_completed_already_takes_the_place_at_once(store, old):
    new = upload(NEW)
    attach(store, new)
    ingest()
    attach(store, new, replaces=old.id)
    assert answers(store) == [NEW]
    assert states(store) == {new.id: State.COMPLETED}


def test_only_a_file_of_the_store_can_be_replaced(store, old):
    with pytest.raises(NotFound):
        attach(make_store(), upload(NEW), replaces=old.id)
    with pytest.raises(InvalidRequest):
        attach(store, old, replaces=old.id)


def test_a_replaced_file_is_deleted_when_all_its_stores_have_switched(store, old):
    other = make_store()
    attach(other, old)
    ingest()
    new = upload(NEW)
    assert replace_file(old_file_id=old.id, new_file_id=new.id, by=COMMAND_LINE) == 2
    ingest(limit=1)
    assert files.get_file(file_id=old.id).id == old.id
    assert sorted([*answers(store), *answers(other)]) == sorted([OLD, NEW])
    ingest()
    assert answers(store) == answers(other) == [NEW]
    with pytest.raises(NotFound):
        files.get_file(file_id=old.id)
    assert purge() == 1
    with tenant_scope():
        assert [file.id for file in File.all_rows.all()] == [new.id]
        assert AuditEvent.objects.get(action="file.deleted").actor_type == "system"


def test_a_new_version_is_described_as_the_old_one_was(store, old):
    new = upload(NEW)
    replace_file(old_file_id=old.id, new_file_id=new.id, by=COMMAND_LINE)
    ingest()
    with tenant_scope():
        assert VectorStoreFile.objects.get().attributes == {"page": 1}


def test_versions_that_fail_are_made_up_for_by_the_next_one(store, old):
    bad, new = upload(BAD, name="program.bin"), upload(NEW)
    replace_file(old_file_id=old.id, new_file_id=bad.id, by=COMMAND_LINE)
    ingest()
    assert answers(store) == [OLD]
    replace_file(old_file_id=bad.id, new_file_id=new.id, by=COMMAND_LINE)
    ingest()
    assert answers(store) == [NEW]
    with tenant_scope():
        assert [file.id for file in File.objects.all()] == [new.id]


def test_a_file_that_is_nowhere_attached_is_deleted_at_once(acting):
    old, new = upload(OLD), upload(NEW)
    assert replace_file(old_file_id=old.id, new_file_id=new.id, by=COMMAND_LINE) == 0
    with pytest.raises(NotFound):
        files.get_file(file_id=old.id)


def test_the_same_content_again_takes_the_place_free_of_charge(store, old, words):
    words.embedded.clear()
    new = upload(OLD)
    replace_file(old_file_id=old.id, new_file_id=new.id, by=COMMAND_LINE)
    ingest()
    assert words.embedded == []
    assert states(store) == {new.id: State.COMPLETED}
    with tenant_scope():
        assert VectorStore.objects.get().chunk_count == Chunk.objects.count() == 1


def test_only_changed_passages_are_embedded_and_charged_again(store, words):
    pages = [f"# Part {part}\n\n" + f"On day {part} the keeper writes the weather. " * 30 for part in range(6)]
    first = upload("\n\n".join(pages), name="book.md")
    sizes = ChunkingStrategy(max_chunk_size_tokens=400, chunk_overlap_tokens=0)
    attach(store, first, strategy=sizes)
    ingest()
    with tenant_scope():
        [whole] = UsageRecord.objects.values_list("quantity", flat=True)
    words.embedded.clear()
    pages[5] = pages[5].replace("weather", "tide")
    attach(store, upload("\n\n".join(pages), name="book.md"), strategy=sizes, replaces=first.id)
    ingest()
    assert words.embedded and all("tide" in text for text in words.embedded)
    with tenant_scope():
        latest = UsageRecord.objects.order_by("id").values_list("quantity", flat=True).last()
        assert latest == sum(len(text.split()) for text in words.embedded) < whole / 2
    assert [hit.filename for hit in search(store_ids=[store.id], query="tide", limit=1).passages] == ["book.md"]
