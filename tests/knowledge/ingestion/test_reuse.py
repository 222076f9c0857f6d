"""Text that did not change is neither read, nor embedded, nor charged again."""

import pytest

from billing.models import UsageRecord
from knowledge import attachments
from knowledge.chunking import ChunkingStrategy
from knowledge.ingestion import runs
from knowledge.ingestion.reuse import reusable_vectors
from knowledge.models import Chunk, Document, Embedding, VectorStoreFile
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

State = VectorStoreFile.State
PARAGRAPHS = [
    " ".join(f"On day {day} of year {year} the keeper writes the weather into his book." for day in range(24))
    for year in range(1900, 1908)
]
BEFORE = "\n\n".join(PARAGRAPHS)
AFTER = "\n\n".join([*PARAGRAPHS[:6], PARAGRAPHS[6].replace("weather", "wind"), PARAGRAPHS[7]])


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


def charged():
    with tenant_scope():
        return list(UsageRecord.objects.order_by("id").values_list("quantity", flat=True))


def test_a_new_version_embeds_and_pays_only_what_changed(acting, words):
    store, old, new = make_store(), upload(BEFORE), upload(AFTER)
    attach(store, old)
    ingest()
    embedded = list(words.embedded)
    words.embedded.clear()
    attached = attach(store, new, replaces=old.id)
    ingest()
    with tenant_scope():
        attached.refresh_from_db()
        assert attached.state == State.COMPLETED
    assert 0 < len(words.embedded) < len(embedded) / 2
    assert not set(words.embedded) & set(embedded)
    assert all("wind" in text for text in words.embedded)
    assert charged()[1] == sum(len(text.split()) for text in words.embedded)


def test_vectors_that_are_taken_over_are_those_that_embedding_would_give(acting, words):
    store, old, new = make_store(), upload(BEFORE), upload(AFTER)
    attach(store, old)
    ingest()
    by_reuse = attach(store, new, replaces=old.id)
    ingest()
    afresh = attach(make_store(), upload(AFTER + " "))
    ingest()
    with tenant_scope():
        first, second = (
            {
                (row.chunk.ordinal, row.passage): (row.start, row.end, list(row.embedding))
                for row in Embedding.objects.filter(store_file_id=attached.id).select_related("chunk")
            }
            for attached in (by_reuse, afresh)
        )
    assert first.keys() == second.keys()
    for key, (start, end, vector) in first.items():
        assert (start, end) == second[key][:2]
        assert vector == pytest.approx(second[key][2], abs=2e-3)  # stored at half precision in between


def test_the_means_of_chunks_are_no_passages_vectors(acting, words):
    attached = attach(make_store(), upload(BEFORE))
    ingest()
    with tenant_scope():
        space = Embedding.objects.first().space_id
    found = reusable_vectors(store_files=[attached.id], space_id=space)
    assert set(found) == set(words.embedded)
    for text, vector in found.items():
        assert vector == pytest.approx(words.embed([text])[0], abs=1e-3)


def test_the_same_file_cut_otherwise_is_not_read_again(acting, words, monkeypatch):
    file = upload(BEFORE)
    attach(make_store(), file)
    ingest()
    monkeypatch.setattr(runs, "parse", None)
    other = attach(make_store(), file, strategy=ChunkingStrategy(200, 0))
    ingest()
    with tenant_scope():
        other.refresh_from_db()
        assert other.state == State.COMPLETED
        text = Document.objects.get().text
        assert all(text[row.start : row.end] == row.text for row in Chunk.objects.filter(store_file=other))


def test_a_document_of_unchanged_text_costs_nothing(acting, words):
    """Not even a hold: other bytes (another line at the end), the same passages."""
    store, old, new = make_store(), upload(BEFORE), upload(BEFORE + "\n")
    attach(store, old)
    ingest()
    words.embedded.clear()
    attached = attach(store, new, replaces=old.id)
    ingest()
    with tenant_scope():
        attached.refresh_from_db()
        assert attached.state == State.COMPLETED and attached.chunk_count > 0
    assert not words.embedded and len(charged()) == 1


def test_the_content_of_a_file_in_a_store_is_its_whole_text(acting):
    store, file = make_store(), upload("\n\n" + BEFORE + "\n\n\n")
    attach(store, file)
    assert attachments.text_of(store_id=store.id, file_id=file.id) == []
    ingest()
    [text] = attachments.text_of(store_id=store.id, file_id=file.id)
    with tenant_scope():
        assert text == Document.objects.get().text
    assert BEFORE in text


def test_twins_share_their_text(acting):
    attach(make_store(), upload(BEFORE))
    ingest()
    store, copy = make_store(), upload(BEFORE, "copy.txt")
    attach(store, copy)
    ingest()
    assert "".join(attachments.text_of(store_id=store.id, file_id=copy.id)).strip() == BEFORE
