"""The REST endpoints, driven by the real `openai` SDK through Django's test client: shapes, errors, strangers."""

import json
from datetime import UTC, datetime, timedelta

import httpx2
import openai
import pytest
from django.test import Client

from knowledge import files as file_rules
from knowledge.models import VectorStore
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import ingest, reembed

TEXT = "The heron nests on the northern island. It feeds on eels in the shallow lagoon. " * 20


class DjangoTransport(httpx2.BaseTransport):
    """The SDK's HTTP, answered by Django in this thread and so inside the test's transaction."""

    def handle_request(self, request):
        answer = Client().generic(
            request.method,
            request.url.raw_path.decode(),
            request.read(),
            content_type=request.headers.get("content-type", ""),
            headers={name: value for name, value in request.headers.items() if name not in ("content-type", "host")},
        )
        return httpx2.Response(answer.status_code, headers=list(answer.headers.items()), content=b"".join(answer))


@pytest.fixture
def sdk(acme, words):
    with openai.OpenAI(
        base_url="http://testserver/v1",
        api_key=acme.key,
        max_retries=0,
        http_client=httpx2.Client(transport=DjangoTransport()),
    ) as client:
        yield client


def upload(sdk, text=TEXT, name="heron.txt"):
    return sdk.files.create(file=(name, text.encode()), purpose="assistants")


def test_a_file_is_uploaded_listed_read_and_deleted(sdk):
    file = upload(sdk)
    assert (file.object, file.bytes, file.filename, file.status) == ("file", len(TEXT), "heron.txt", "processed")
    assert file.id.startswith("file-") and sdk.files.wait_for_processing(file.id).id == file.id
    assert [listed.id for listed in sdk.files.list(purpose="assistants")] == [file.id]
    assert list(sdk.files.list(purpose="batch")) == []
    assert sdk.files.content(file.id).read() == TEXT.encode()
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(file.id)


def test_lists_page_through_everything_once(sdk):
    ids = [upload(sdk, f"text {number}").id for number in range(5)]
    assert [file.id for file in sdk.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in sdk.files.list(limit=2, order="asc")] == ids


def test_a_store_is_filled_searched_and_emptied(sdk):
    file = upload(sdk)
    store = sdk.vector_stores.create(name="birds", file_ids=[file.id], metadata={"season": "spring"})
    assert (store.status, store.file_counts.in_progress, store.file_counts.total) == ("in_progress", 1, 1)
    ingest()
    store = sdk.vector_stores.retrieve(store.id)
    assert (store.status, store.file_counts.completed, store.metadata) == ("completed", 1, {"season": "spring"})
    assert store.usage_bytes > len(TEXT)
    hits = list(sdk.vector_stores.search(store.id, query="Where does the heron nest?"))
    assert hits[0].file_id == file.id and hits[0].filename == "heron.txt" and 0 < hits[0].score <= 1
    assert "northern island" in hits[0].content[0].text
    attached = sdk.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
    assert (attached.status, attached.chunking_strategy.static.max_chunk_size_tokens) == ("completed", 800)
    pieces = sdk.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert "".join(piece.text for piece in pieces).split() == TEXT.split()
    assert sdk.vector_stores.files.delete(file.id, vector_store_id=store.id).deleted
    assert list(sdk.vector_stores.search(store.id, query="heron")) == []
    assert sdk.vector_stores.delete(store.id).deleted and sdk.files.retrieve(file.id).id == file.id


def test_a_store_is_updated(sdk):
    store = sdk.vector_stores.create(name="a", expires_after={"anchor": "last_active_at", "days": 3})
    assert store.expires_at == store.last_active_at + 3 * 86400
    changed = sdk.vector_stores.update(store.id, name="b", metadata={"k": "v"}, expires_after=None)
    assert (changed.name, changed.metadata, changed.expires_at) == ("b", {"k": "v"}, None)
    assert [listed.name for listed in sdk.vector_stores.list()] == ["b"]


def test_attributes_filter_a_search(sdk):
    store = sdk.vector_stores.create()
    for year in (2023, 2024):
        file = upload(sdk, f"{TEXT} In {year}.", f"{year}.txt")
        sdk.vector_stores.files.create(
            store.id, file_id=file.id, attributes={"year": year},
            chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 0}},
        )  # fmt: skip
    ingest()
    since = {"type": "gte", "key": "year", "value": 2024}
    assert {hit.filename for hit in sdk.vector_stores.search(store.id, query="heron", filters=since)} == {"2024.txt"}
    file = sdk.vector_stores.files.list(store.id, filter="completed", limit=1).data[0]
    updated = sdk.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"year": 1999})
    assert updated.attributes == {"year": 1999}
    assert list(sdk.vector_stores.search(store.id, query="heron", filters=since)) == []


def test_a_bad_file_fails_with_its_reason_and_the_poller_stops(sdk):
    file = upload(sdk, "\x7fELF" + "\0" * 100, "report.pdf")
    store = sdk.vector_stores.create(file_ids=[file.id])
    ingest()
    failed = sdk.vector_stores.files.poll(file.id, vector_store_id=store.id)
    assert (failed.status, failed.last_error.code) == ("failed", "unsupported_file")
    assert "program" in failed.last_error.message
    assert sdk.vector_stores.retrieve(store.id).file_counts.failed == 1


@pytest.mark.parametrize(
    ("call", "status", "param"),
    [
        (lambda sdk: upload(sdk, ""), 400, "file"),
        (lambda sdk: sdk.files.create(file=("a", b"a"), purpose="nonsense"), 400, "purpose"),
        (lambda sdk: sdk.files.list(limit=0), 400, "limit"),
        (lambda sdk: sdk.vector_stores.create(name="x" * 300), 400, "name"),
        (lambda sdk: sdk.vector_stores.create(metadata={"k": 5}), 400, "metadata.k"),
        (lambda sdk: sdk.vector_stores.create(file_ids=["file-" + "0" * 32]), 404, "file_ids"),
        (lambda sdk: sdk.vector_stores.search("vs_nonsense", query="x"), 404, "vector_store_id"),
        (lambda sdk: sdk.vector_stores.search(sdk.vector_stores.create().id, query=""), 400, "query"),
        (
            lambda sdk: sdk.vector_stores.search(sdk.vector_stores.create().id, query="x", max_num_results=51),
            400,
            "max_num_results",
        ),
        (
            lambda sdk: sdk.vector_stores.search(
                sdk.vector_stores.create().id, query="x", filters={"type": "like", "key": "a", "value": 1}
            ),
            400,
            "filters",
        ),
    ],
)  # fmt: skip
def test_bad_requests_name_their_parameter(sdk, call, status, param):
    with pytest.raises(openai.APIStatusError) as refused:
        call(sdk)
    assert (refused.value.status_code, refused.value.param) == (status, param)


def test_a_file_beyond_the_limit_is_refused(sdk, settings):
    settings.MAX_FILE_BYTES = 100
    with pytest.raises(openai.APIStatusError) as refused:
        upload(sdk, "x" * 101)
    assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")


def test_a_body_that_announces_too_much_is_refused_unread(acme, settings):
    settings.MAX_FILE_BYTES = 10
    answer = acme.client.post(
        "/v1/files", data=b"", content_type="multipart/form-data; boundary=x", CONTENT_LENGTH="99999999"
    )
    assert answer.status_code == 413


def test_an_expired_file_is_gone(sdk, monkeypatch):
    kept = sdk.files.create(
        file=("a.txt", b"a"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert kept.expires_at == pytest.approx(kept.created_at + 3600, abs=5)
    monkeypatch.setattr(file_rules, "MIN_LIFETIME", file_rules.MIN_LIFETIME * 0)
    past = sdk.files.create(file=("a.txt", b"a"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 0})
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(past.id)


ROUTES = [
    ("get", "/v1/files/{file}", None),
    ("delete", "/v1/files/{file}", None),
    ("get", "/v1/files/{file}/content", None),
    ("get", "/v1/vector_stores/{store}", None),
    ("post", "/v1/vector_stores/{store}", {"name": "mine now"}),
    ("delete", "/v1/vector_stores/{store}", None),
    ("post", "/v1/vector_stores/{store}/search", {"query": "heron"}),
    ("get", "/v1/vector_stores/{store}/files", None),
    ("post", "/v1/vector_stores/{store}/files", {"file_id": "{file}"}),
    ("get", "/v1/vector_stores/{store}/files/{file}", None),
    ("post", "/v1/vector_stores/{store}/files/{file}", {"attributes": {}}),
    ("delete", "/v1/vector_stores/{store}/files/{file}", None),
    ("get", "/v1/vector_stores/{store}/files/{file}/content", None),
]


def test_a_stranger_gets_the_answer_for_a_missing_id(sdk, globex):
    file = upload(sdk)
    store = sdk.vector_stores.create(file_ids=[file.id])
    ingest()

    def ask(method, path, body, **ids):
        sent = json.loads(json.dumps(body).replace("{file}", ids["file"]))
        answer = getattr(globex.client, method)(path.format(**ids), sent, format="json")
        return answer.status_code, answer.content

    for route in ROUTES:
        missing = ask(*route, file="file-" + "0" * 32, store="vs_" + "0" * 32)
        assert missing[0] == 404, route
        assert ask(*route, file=file.id, store=store.id) == missing, route
        assert sdk.vector_stores.retrieve(store.id).file_counts.completed == 1, route


def test_a_stranger_cannot_attach_another_tenants_file(sdk, globex):
    file = upload(sdk)
    answer = globex.client.post("/v1/vector_stores", {"file_ids": [file.id]}, format="json")
    assert answer.status_code == 404
    assert globex.client.get("/v1/vector_stores").json()["data"] == []


def test_a_retried_create_makes_one_store(acme, words):
    first, second = (
        acme.client.post("/v1/vector_stores", {"name": "once"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
        for _ in range(2)
    )
    assert first.json() == second.json()
    assert len(acme.client.get("/v1/vector_stores").json()["data"]) == 1


def test_a_batch_names_files_in_one_way_or_the_other(sdk):
    store, file = sdk.vector_stores.create().id, upload(sdk).id
    url = f"/vector_stores/{store}/file_batches"
    for body in ({}, {"file_ids": [file], "files": [{"file_id": file}]}, {"file_ids": []}, {"files": []}):
        with pytest.raises(openai.BadRequestError):
            sdk.post(url, cast_to=object, body=body)
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.vector_stores.file_batches.create(store, files=[{"file_id": "file-" + "0" * 32}])
    assert missing.value.param == "files"
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.file_batches.retrieve("vsfb_" + "0" * 32, vector_store_id=store)


def test_a_batch_of_one_store_is_not_one_of_another(sdk):
    store, other, file = sdk.vector_stores.create(), sdk.vector_stores.create(), upload(sdk)
    batch = sdk.vector_stores.file_batches.create(store.id, file_ids=[file.id])
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.file_batches.retrieve(batch.id, vector_store_id=other.id)
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.file_batches.cancel(batch.id, vector_store_id=other.id)


def test_a_file_is_replaced_in_a_store_by_its_next_version(sdk):
    old, new = upload(sdk, "The tower is red."), upload(sdk, "The tower is green.")
    store = sdk.vector_stores.create(file_ids=[old.id])
    ingest()
    files = [{"file_id": new.id, "replaces": old.id, "attributes": {"v": 2}}]
    sdk.post(f"/vector_stores/{store.id}/file_batches", cast_to=object, body={"files": files})
    ingest()
    [kept] = sdk.vector_stores.files.list(store.id)
    assert (kept.id, kept.attributes) == (new.id, {"v": 2})
    other = upload(sdk, "The tower is blue.")
    for replaces in (old.id, "file-nonsense"):
        with pytest.raises(openai.NotFoundError) as missing:
            sdk.vector_stores.files.create(store.id, file_id=other.id, extra_body={"replaces": replaces})
        assert missing.value.param == "replaces"


def test_a_new_version_of_a_file_takes_its_place_everywhere(sdk):
    old, new = upload(sdk, "The tower is red."), upload(sdk, "The tower is green.")
    stores = [sdk.vector_stores.create(file_ids=[old.id]) for _ in range(2)]
    ingest()
    told = sdk.post(f"/files/{old.id}/replace", cast_to=dict, body={"file_id": new.id})
    assert (told["id"], told["replaced_by"], told["vector_stores"]) == (old.id, new.id, 2)
    assert sdk.files.retrieve(old.id).id == old.id
    ingest()
    for store in stores:
        assert [file.id for file in sdk.vector_stores.files.list(store.id)] == [new.id]
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(old.id)
    with pytest.raises(openai.BadRequestError):
        sdk.post(f"/files/{new.id}/replace", cast_to=dict, body={"file_id": new.id})


def test_a_stores_way_to_another_model_is_told(sdk, acme, words, monkeypatch):
    store = sdk.vector_stores.create(file_ids=[upload(sdk).id])
    ingest()
    monkeypatch.setattr(words, "space", "words@2")
    changed = sdk.post(f"/vector_stores/{store.id}", cast_to=dict, body={"embedding_model": words.model})
    assert changed["embedding_progress"] == {
        "embedding_model": words.model, "status": "in_progress", "percent": 0, "error": None,
    }  # fmt: skip
    with pytest.raises(openai.ConflictError):
        sdk.vector_stores.search(store.id, query="heron")
    with acting_for(acme.tenant.id):
        reembed()
    assert sdk.vector_stores.retrieve(store.id).to_dict()["embedding_progress"] is None
    assert len(list(sdk.vector_stores.search(store.id, query="heron"))) == 1


def test_an_expired_store_says_so_and_lists_its_files(sdk, acme):
    file = upload(sdk)
    store = sdk.vector_stores.create(file_ids=[file.id], expires_after={"anchor": "last_active_at", "days": 1})
    ingest()
    with acting_for(acme.tenant.id), tenant_scope():
        VectorStore.objects.update(last_active_at=datetime.now(UTC) - timedelta(days=1))
    assert sdk.vector_stores.retrieve(store.id).status == "expired"
    assert [listed.id for listed in sdk.vector_stores.files.list(store.id)] == [file.id]
    for call in (
        lambda: sdk.vector_stores.search(store.id, query="heron"),
        lambda: sdk.vector_stores.files.create(store.id, file_id=file.id),
        lambda: sdk.vector_stores.update(store.id, expires_after={"anchor": "last_active_at", "days": 9}),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            call()
        assert refused.value.code == "vector_store_expired"
    assert sdk.vector_stores.update(store.id, name="old").name == "old"
    assert sdk.vector_stores.delete(store.id).deleted
