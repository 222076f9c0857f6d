"""The desk's pages of stores and files: added, followed, retried, searched, described, deleted."""

import io
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from knowledge.models import BucketSource, File, VectorStore, VectorStoreFile
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import WordEmbedder, attach, ingest, make_store, upload
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def store(acme: Member, words: WordEmbedder) -> Iterator[VectorStore]:
    with acting_for(acme.tenant.id):
        yield make_store(name="Handbook")


@pytest.fixture
def client(acme: Member) -> Client:
    return desk(seat(acme, "developer"))


def url(store: VectorStore, page: str) -> str:
    return f"/admin/knowledge/vectorstore/{store.id}/{page}/"


def send(client: Client, store: VectorStore, name: str, data: bytes, **form: str) -> Any:
    content = io.BytesIO(data)
    content.name = name
    return client.post(url(store, "upload"), {"file": content, **form}, **JSON)


def of(store: VectorStore) -> list[tuple[str, str]]:
    with tenant_scope():
        rows = VectorStoreFile.objects.filter(store=store).order_by("file_id")
        return list(rows.values_list("file__filename", "state"))


# --- uploads ---


def test_a_file_is_uploaded_followed_and_ready(client, store):
    row = send(client, store, "notes.txt", b"The mount is made of steel.", path="handbook/notes.txt").json()
    assert (row["name"], row["word"], row["busy"], row["known"]) == ("notes.txt", "Waiting", True, False)
    ingest()
    answer = client.get(url(store, "progress"), {"file": row["file_id"]}).json()
    assert (answer["files"][row["file_id"]]["word"], answer["files"][row["file_id"]]["busy"]) == ("Ready", False)
    assert answer["counts"] == {"": "1", "busy": "0", "ready": "1", "failed": "0"}
    with tenant_scope():
        assert VectorStoreFile.objects.get().attributes == {"path": "handbook/notes.txt"}
        assert {"file.created", "vector_store_file.attached"} <= set(
            AuditEvent.objects.values_list("action", flat=True)
        )


def test_the_options_of_an_upload_are_kept(client, store):
    send(client, store, "notes.txt", b"text", chunk_tokens="200", overlap_tokens="50", groups="board, Sales EMEA")
    with tenant_scope():
        row = VectorStoreFile.objects.get()
    assert row.chunking == {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}
    assert row.allowed_groups == ["Sales EMEA", "board"]


@pytest.mark.parametrize(
    ("data", "form", "status", "said"),
    [
        (b"", {}, 400, "empty"),
        (b"12345678901", {}, 413, "the limit is 10. Split it"),
        (b"text", {"chunk_tokens": "7"}, 400, "A chunk has 100 to 4,096 tokens"),
        (b"text", {"groups": "\x07"}, 400, "printable"),
        (b"text", {"replaces": "x"}, 400, "not the id of a file"),
    ],
)
def test_what_is_refused_says_why_and_leaves_nothing(client, store, settings, data, form, status, said):
    settings.MAX_FILE_BYTES = 10
    answer = send(client, store, "notes.txt", data, **form)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    with tenant_scope():
        assert not File.objects.exists()


def test_an_upload_holds_no_transaction_while_the_bytes_are_written(client, store, monkeypatch):
    from knowledge import storage
    from tenants.scope import _open_scope

    kept, seen = storage.put, []
    monkeypatch.setattr(storage, "put", lambda *args: (seen.append(_open_scope.get()), kept(*args))[1])
    assert send(client, store, "notes.txt", b"text").status_code == 200
    assert seen == [None]


def test_the_same_file_is_not_put_in_twice(client, store):
    first = send(client, store, "notes.txt", b"text").json()
    again = send(client, store, "notes.txt", b"text").json()
    assert (again["file_id"], again["known"]) == (first["file_id"], True)
    assert of(store) == [("notes.txt", "queued")]


def test_a_file_that_failed_is_replaced_by_the_next_of_its_name(client, store):
    send(client, store, "manual.txt", b"half of it")
    with tenant_scope():
        VectorStoreFile.objects.update(state="failed", error_code="invalid_file", error_message="The file is damaged.")
    send(client, store, "manual.txt", b"all of it, at last")
    assert of(store) == [("manual.txt", "failed"), ("manual.txt", "queued")]
    ingest()
    assert of(store) == [("manual.txt", "completed")]


def test_a_refused_attachment_leaves_no_file_behind(client, store):
    with tenant_scope():
        VectorStore.objects.filter(id=store.id).update(expires_after_days=1, last_active_at="2026-01-01T00:00:00Z")
    answer = send(client, store, "notes.txt", b"text")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "vector_store_expired")
    with tenant_scope():
        assert not File.objects.exists()


def test_names_are_shown_as_text(client, store):
    row = send(client, store, "<img src=x onerror=alert(1)>.txt", b"text").json()
    text = client.get(url(store, "files")).content.decode()
    assert row["name"] == "<img src=x onerror=alert(1)>.txt"
    assert "&lt;img src=x onerror=alert(1)&gt;.txt" in text and "<img src=x" not in text


def test_without_the_script_a_form_sends_many(client, store):
    sent = [SimpleUploadedFile(name, data) for name, data in (("a.txt", b"one"), ("b.txt", b"two"), ("c.txt", b""))]
    page = client.post(url(store, "upload"), {"file": sent}, HTTP_ACCEPT="text/html", follow=True)
    assert "c.txt: The file is empty." in page.content.decode()
    assert of(store) == [("a.txt", "queued"), ("b.txt", "queued")]


def test_a_viewer_sees_and_does_not_change(acme, store):
    client = desk(seat(acme, "viewer"))
    assert client.get(url(store, "files")).status_code == client.get(url(store, "sources")).status_code == 200
    assert "Choose files" not in client.get(url(store, "files")).content.decode()
    assert send(client, store, "notes.txt", b"text").status_code == 403
    for page in ("files", "retry", "sources"):
        assert client.post(url(store, page), {"retry": "all"}).status_code == 403


# --- failures ---


def test_what_failed_says_why_and_is_tried_again_as_it_was(client, store):
    file = upload(b"%PDF-1.7 broken", "manual.pdf")
    row = attach(store, file, attributes={"lang": "en"}, allowed_groups=["board"])
    ingest()
    text = client.get(url(store, "files")).content.decode()
    assert "The file is damaged" in text and "Failed <span" in text
    answer = client.post(url(store, "retry"), {"file": str(file.id)}, **JSON).json()
    assert answer["files"][str(file.id)]["word"] == "Waiting"
    with tenant_scope():
        again = VectorStoreFile.objects.get()
    assert again.id != row.id
    assert (again.attributes, again.allowed_groups, again.chunking) == ({"lang": "en"}, ["board"], row.chunking)


def test_all_that_failed_are_tried_again_and_nothing_else(client, store):
    good, bad = attach(store, upload("text", "good.txt")), attach(store, upload(b"%PDF-1.7 broken", "bad.pdf"))
    ingest()
    page = client.post(url(store, "files"), {"retry": "all"}, follow=True)
    assert "1 file will be tried again." in page.content.decode()
    assert of(store) == [("good.txt", "completed"), ("bad.pdf", "queued")]
    with tenant_scope():
        assert VectorStoreFile.objects.filter(id=good.id).exists()
        assert not VectorStoreFile.objects.filter(id=bad.id).exists()


def test_a_file_that_is_gone_cannot_be_retried(client, store):
    answer = client.post(url(store, "retry"), {"file": str(UUID(int=7))}, **JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_list_is_narrowed_found_and_turned(client, store, monkeypatch):
    monkeypatch.setattr("knowledge.admin.store_files.PER_PAGE", 2)
    for name in ("a.txt", "b.txt", "c.txt"):
        attach(store, upload(name, name))
    page = client.get(url(store, "files"))
    assert [row.name for row in page.context["rows"]] == ["c.txt", "b.txt"]
    rest = client.get(url(store, "files"), {"after": str(page.context["next_after"])})
    assert [row.name for row in rest.context["rows"]] == ["a.txt"]
    assert rest.context["next_after"] is None
    assert [row.name for row in client.get(url(store, "files"), {"q": "B."}).context["rows"]] == ["b.txt"]
    assert client.get(url(store, "files"), {"state": "failed", "after": "x"}).context["rows"] == []


# --- search ---


def test_a_search_shows_each_mode_with_scores_and_places(client, store):
    attach(store, upload("The seals are replaced every year.\n\nThe fan is cheap.", "manual.txt"))
    ingest()
    form = {"query": "seals replaced", "modes": ["hybrid", "dense", "lexical"], "limit": "3"}
    columns = client.post(url(store, "search"), form).context["columns"]
    assert [column.heading for column in columns] == ["Meaning and words", "Meaning", "Words"]
    assert [len(column.hits) for column in columns] == [1, 1, 1]
    assert columns[0].hits[0].score == columns[2].hits[0].score == "1.00"
    page = client.get(columns[0].hits[0].link).content.decode()
    assert "<mark>The seals are replaced every year." in page


def test_a_search_sees_what_its_groups_see(client, store):
    attach(store, upload("The board decides.", "secret.txt"), allowed_groups=["board"])
    ingest()
    form = {"query": "board", "modes": ["lexical"], "limit": "3"}
    page = client.post(url(store, "search"), form)
    assert page.context["columns"][0].hits == [] and "This store knows: board." in page.content.decode()
    assert len(client.post(url(store, "search"), form | {"groups": "board"}).context["columns"][0].hits) == 1


def test_a_search_with_a_filter_and_a_bad_one(client, store):
    attach(store, upload("Seals for the mount.", "a.txt"), attributes={"year": 2025})
    attach(store, upload("Seals for the dome.", "b.txt"), attributes={"year": 2026})
    ingest()
    form = {
        "query": "seals",
        "modes": ["lexical"],
        "limit": "3",
        "attribute": "year",
        "comparison": "gt",
        "value": "2025",
    }
    hits = client.post(url(store, "search"), form).context["columns"][0].hits
    assert [hit.filename for hit in hits] == ["b.txt"]
    assert "Choose at least one way" in client.post(url(store, "search"), {"query": "x"}).content.decode()


# --- settings, sources, deleting ---


def test_a_new_store_leads_to_its_files_and_its_settings_are_changed(client, store):
    answer = client.post("/admin/knowledge/vectorstore/add/", {"name": "Manuals", "description": ""})
    with tenant_scope():
        made = VectorStore.objects.get(name="Manuals")
    assert answer["Location"] == url(made, "files")
    page = client.get(url(made, "change"))
    fields = {name: field for name, field in page.context["adminform"].form.initial.items() if field is not None}
    client.post(url(made, "change"), fields | {"name": "Guides", "description": "x", "expires_after_days": "30"})
    with tenant_scope():
        made.refresh_from_db()
    assert (made.name, made.description, made.expires_after_days) == ("Guides", "x", 30)


def test_a_bucket_is_followed_synchronised_and_left(client, store):
    form = {
        "do": "follow", "bucket": "manuals", "folder": "en/", "region": "eu-central-1", "access_key_id": "AKIA1",
        "secret_access_key": "very-secret", "sync_every_minutes": "60",
    }  # fmt: skip
    wrong = client.post(url(store, "sources"), form | {"bucket": "no/bucket"}).content.decode()
    assert "the name of a bucket" in wrong and "very-secret" not in wrong
    page = client.post(url(store, "sources"), form, follow=True).content.decode()
    assert "manuals/en/" in page and "Synchronising" in page and "very-secret" not in page
    with tenant_scope():
        source = BucketSource.objects.get()
    assert (source.prefix, source.sync_every_minutes) == ("en/", 60)
    client.post(url(store, "sources"), {"do": "stop", "source": str(source.id)})
    with tenant_scope():
        assert not BucketSource.objects.exists()


def test_a_document_from_an_address_is_fetched_and_attached(client, store):
    page = client.post(
        url(store, "sources"), {"do": "fetch", "url": "https://example.com/a.pdf?signature=1"}, follow=True
    )
    text = page.content.decode()
    assert "https://example.com/a.pdf" in text and "signature" not in text and "Being fetched" in text
    assert of(store) == [("a.pdf", "queued")]
    refused = client.post(url(store, "sources"), {"do": "fetch", "url": "ftp://example.com/a.pdf"})
    assert refused.context["address_form"].errors["url"]


def test_deleting_says_what_goes_and_leads_back(client, store):
    row = attach(store, upload("text", "notes.txt"))
    page = client.get(f"/admin/knowledge/vectorstorefile/{row.id}/delete/").content.decode()
    assert "notes.txt is taken out of Handbook" in page and "The file itself stays." in page
    answer = client.post(f"/admin/knowledge/vectorstorefile/{row.id}/delete/", {"post": "yes"})
    assert answer["Location"] == url(store, "files")
    assert of(store) == []
    assert "Its files stay" in client.get(url(store, "delete")).content.decode()


def test_a_list_of_files_takes_as_many_queries_however_many_there_are(client, store, django_assert_max_num_queries):
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        attach(store, upload(name, name))
    with django_assert_max_num_queries(25):
        client.get(url(store, "files"))
    assert json.loads(client.get(url(store, "progress")).content)["files"] == {}


# --- what was uploaded, and what is said of it ---


def test_a_file_is_downloaded_as_it_was_and_that_is_on_record(client, store):
    row = send(client, store, "notes.html", b"<script>alert(1)</script>").json()
    answer = client.get(f"/admin/knowledge/file/{row['file_id']}/download/")
    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"
    assert answer["Content-Disposition"] == 'attachment; filename="notes.html"'
    assert answer["Content-Type"] == "application/octet-stream"
    with tenant_scope():
        assert AuditEvent.objects.filter(action="file.downloaded", object_id=row["file_id"]).count() == 1


def test_a_file_that_is_not_there_is_said_to_be_gone(client, store, globex):
    with acting_for(globex.tenant.id):
        theirs = upload("text", "secret.txt").id
    for ident in (UUID(int=7), theirs):
        answer = client.get(f"/admin/knowledge/file/{ident}/download/", follow=True)
        assert "This file does not exist" in answer.content.decode()


def fresh(row: VectorStoreFile) -> VectorStoreFile:
    with tenant_scope():
        return VectorStoreFile.objects.get(id=row.id)


def test_attributes_and_groups_change_and_the_second_of_two_is_told(client, store):
    send(client, store, "notes.txt", b"text")
    with tenant_scope():
        row = VectorStoreFile.objects.get()
    page = f"/admin/knowledge/vectorstorefile/{row.id}/change/"
    seen = {"_seen": client.get(page).context["seen"]}
    changed = client.post(page, {"attributes": "year = 2026\ndraft = true", "allowed_groups": "board", **seen})
    assert changed["Location"] == url(store, "files")
    assert "notes.txt in Handbook" in client.get(changed["Location"]).content.decode()
    row = fresh(row)
    assert (row.attributes, row.allowed_groups) == ({"year": 2026, "draft": True}, ["board"])
    second = client.post(page, {"attributes": "year = 2027", "allowed_groups": "", **seen})
    assert "This was changed while you had it open" in second.content.decode()
    refused = client.post(page, {"attributes": "year", "allowed_groups": "board"})
    assert "is not written as name = value" in refused.content.decode()
    row = fresh(row)
    assert row.attributes["year"] == 2026


def test_a_viewer_reads_what_is_said_of_a_file_and_changes_nothing(acme, client, store):
    send(client, store, "notes.txt", b"text", groups="board")
    with tenant_scope():
        row = VectorStoreFile.objects.get()
    viewer, page = desk(seat(acme, "viewer")), f"/admin/knowledge/vectorstorefile/{row.id}/change/"
    assert "board" in viewer.get(page).content.decode()
    assert viewer.post(page, {"attributes": "a = 1", "allowed_groups": ""}).status_code == 403
    row = fresh(row)
    assert row.allowed_groups == ["board"]
