"""A store that redacts holds placeholders: in its texts, chunks, terms and answers. Another store is none of its business."""

import pytest
from django.db import connection

from knowledge import attachments, storage
from knowledge.models import Document, VectorStoreFile
from knowledge.retrieval import search
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

EMAIL, CARD = "zoe.quimby@secret.example", "4111 1111 1111 1111"
TEXT = f"The heron belongs to {EMAIL}, who paid with {CARD} in spring.\n"
ALL = {"pii": {"entities": "all"}}
MARKS = ("quimby", "secret.example", "4111")


@pytest.fixture
def tenant(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


def text_of(store, file):
    return "".join(attachments.text_of(store_id=store.id, file_id=file.id))


def stored_anywhere() -> str:
    """Everything that the database holds of documents, as text."""
    tables = ("document", "chunk", "vectorstorefile", "chunkterms", "storeterm", "ingestionpart")
    with tenant_scope(), connection.cursor() as cursor:
        found = []
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM knowledge_{table} t")
            found.append(cursor.fetchone()[0])
    return " ".join(found)


def test_values_are_nowhere_in_the_database(tenant, words):
    store, file = make_store(preparation=ALL), upload(TEXT)
    attach(store, file)
    ingest()
    assert text_of(store, file).strip() == (
        "The heron belongs to <EMAIL_ADDRESS>, who paid with <CREDIT_CARD> in spring."
    )
    assert not any(mark in stored_anywhere() for mark in MARKS)
    assert not any(mark in text for text in words.embedded for mark in MARKS)
    [passage] = search(store_ids=[store.id], query="heron").passages
    assert "<EMAIL_ADDRESS>" in passage.text
    assert search(store_ids=[store.id], query="quimby", ranker="lexical").passages == []
    # The upload is the tenant's, and as it was.
    assert storage.read(file.stored_id) == TEXT.encode()


@pytest.mark.parametrize("first", ["plain", "redacting"])
def test_twins_in_stores_of_other_preparation_are_not_copied(tenant, words, first):
    plain, redacting = make_store(), make_store(preparation=ALL)
    order = [plain, redacting] if first == "plain" else [redacting, plain]
    file, copy = upload(TEXT), upload(TEXT, "copy.txt")
    for store in order:
        attach(store, file)
        attach(store, copy)
        ingest()
    for one in (file, copy):
        assert EMAIL in text_of(plain, one)
        assert not any(mark in text_of(redacting, one) for mark in MARKS)
    with tenant_scope():
        kept = set(Document.objects.values_list("preparation", flat=True))
        assert len(kept) == 2 and "" in kept


def test_twins_of_the_same_preparation_are_copied_and_nothing_else_of_them(tenant, words):
    plain, one, other = make_store(), make_store(preparation=ALL), make_store(preparation=ALL)
    file, copy = upload(TEXT), upload(TEXT, "copy.txt")
    attach(plain, file)
    attach(one, file)
    ingest()
    embedded = len(words.embedded)
    attach(other, copy)
    ingest()
    assert len(words.embedded) == embedded
    assert "<EMAIL_ADDRESS>" in text_of(other, copy)
    with tenant_scope():
        # Its text as it was read did not come along.
        assert "" not in set(Document.objects.filter(file=copy).values_list("preparation", flat=True))


def test_a_document_that_cannot_be_redacted_fails(tenant, words, monkeypatch):
    monkeypatch.setattr("knowledge.preparation.redaction.SECONDS", -1.0)
    store, file = make_store(preparation=ALL), upload(TEXT)
    attach(store, file)
    ingest()
    with tenant_scope():
        row = VectorStoreFile.objects.get()
    assert (row.state, row.error_code) == ("failed", "invalid_file")
    assert "personal data" in row.error_message
    assert not any(mark in stored_anywhere() for mark in MARKS)


def test_the_setting_is_shown_and_not_changed(acme, words):
    client = acme.client
    made = client.post("/v1/vector_stores", {"preparation": {"pii": {"entities": ["US_SSN", "EMAIL_ADDRESS"]}}}).json()
    expected = {"pii": {"entities": ["EMAIL_ADDRESS", "US_SSN"], "phone_regions": ["US", "GB", "DE", "FR"]}}
    assert made["preparation"] == expected
    url = f"/v1/vector_stores/{made['id']}"
    refused = client.post(url, {"preparation": None})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "preparation")
    assert client.get(url).json()["preparation"] == expected
    assert client.post("/v1/vector_stores", {"name": "plain"}).json()["preparation"] is None


@pytest.mark.parametrize(
    "preparation", ["all", [], {"pii": {"entities": ["X"]}}, {"pii": {"entities": "all", "y": 1}}, 1]
)
def test_a_preparation_that_cannot_be_is_400(acme, words, preparation):
    refused = acme.client.post("/v1/vector_stores", {"preparation": preparation})
    assert refused.status_code == 400 and refused.json()["error"]["param"].startswith("preparation")
