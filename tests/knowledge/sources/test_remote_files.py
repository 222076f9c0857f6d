"""Files from URLs, from the request to the searchable document, with a worker that dies on the way."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.app.task import Task

from knowledge import purging, storage, tasks
from knowledge.models import File, VectorStoreFile
from knowledge.sources import fetching, remote_files
from tenants import work
from tenants.audit import COMMAND_LINE
from tenants.models import AuditEvent, Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import expire_leases, ingest, upload
from tests.knowledge.sources.servers import Site

TEXT = b"The heron nests on the northern island. " * 20
WORKER = "a worker"


@pytest.fixture
def rung(monkeypatch: Any) -> list[str]:
    """The names of the tasks whose doorbell was rung."""
    heard: list[str] = []
    monkeypatch.setattr(Task, "apply_async", lambda self, **options: heard.append(self.name.rpartition(".")[2]))
    return heard


@pytest.fixture
def client(acme: Any, words: Any, rung: Any) -> Any:
    with acting_for(acme.tenant.id):
        yield acme.client


def ask(client: Any, url: str, **body: Any) -> Any:
    return client.post("/v1/files", {"url": url, "purpose": "assistants", **body}, format="json")


def fetch(limit: int = 20) -> int:
    """Run the worker until nothing waits; returns how many units it ran."""
    for count in range(limit):
        claim = remote_files.claim_next(worker=WORKER)
        if claim is None:
            return count
        with leave_tenant(), acting_for(claim.tenant_id):
            remote_files.run(claim, worker=WORKER)
    return limit


def purge() -> None:
    """Remove what is left of deleted files."""
    while (claim := purging.claim_next(worker=WORKER)) is not None:
        with leave_tenant(), acting_for(claim.tenant_id):
            purging.purge(claim)


def hurry() -> None:
    """Let what waits for another attempt wait no longer."""
    with tenant_scope():
        Work.objects.filter(state="delayed").update(state="queued")


def test_a_url_becomes_a_file(client: Any, web: Site) -> None:
    web.pages["/heron.txt?token=secret"] = (200, {"ETag": '"7"'}, TEXT)
    url = web.url("/heron.txt?token=secret")
    answer = ask(client, url, expires_after={"anchor": "created_at", "seconds": 3600})
    made = answer.json()
    assert answer.status_code == 200
    assert (made["status"], made["bytes"], made["filename"]) == ("uploaded", 0, "heron.txt")
    assert made["source"]["url"] == web.url("/heron.txt") and made["source"]["fetched_at"] is None
    assert made["expires_at"] - made["created_at"] == pytest.approx(3600, abs=5)
    path = f"/v1/files/{made['id']}"
    assert client.get(f"{path}/content").status_code == 409
    assert fetch() == 1
    file = client.get(path).json()
    assert (file["status"], file["bytes"], file["status_details"]) == ("processed", len(TEXT), None)
    assert file["source"]["etag"] == '"7"' and file["source"]["fetched_at"] >= made["created_at"]
    assert b"".join(client.get(f"{path}/content")) == TEXT
    assert "secret" not in json.dumps(client.get("/v1/files").json())


def test_the_url_is_stored_encrypted_and_audited_without_its_path(client: Any, web: Site, caplog: Any) -> None:
    ask(client, web.url("/missing?token=secret"))
    fetch()
    with tenant_scope():
        [file] = File.objects.extra(select={"raw": "source_url"})
        assert "secret" in file.source_url and "secret" not in file.raw  # type: ignore[attr-defined]
        events = list(AuditEvent.objects.filter(object_id=str(file.id)).order_by("id"))
    assert [event.action for event in events] == ["file.created", "file.fetch_failed"]
    assert events[0].changes == {"host": "127.0.0.1", "purpose": "assistants"}
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"url": "http://127.0.0.2/"}, "url"),
        ({"url": "http://[::1]/"}, "url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "http://user:password@example.org/"}, "url"),
        ({"url": "ftp://example.org/"}, "url"),
        ({"url": ""}, "url"),
        ({"url": 5.5}, "url"),
        ({"url": "x" * 5000}, "url"),
        ({"purpose": "nonsense"}, "purpose"),
        ({"filename": "a/b"}, "filename"),
        ({"filename": ""}, "filename"),
        ({"filename": "x" * 256}, "filename"),
        ({"expires_after": {"anchor": "created_at", "seconds": 5}}, "expires_after[seconds]"),
        ({"expires_after": {"anchor": "last_active_at", "seconds": 3600}}, "expires_after.anchor"),
    ],
)
def test_bad_requests_name_their_parameter(client: Any, web: Site, body: dict[str, Any], param: str) -> None:
    answer = ask(client, **{"url": web.url(), **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert web.connections == 0 and client.get("/v1/files").json()["data"] == []


def test_a_request_that_is_sent_again_makes_one_file(client: Any, web: Site) -> None:
    body = {"url": web.url(), "purpose": "assistants"}
    first, second = (client.post("/v1/files", body, format="json", HTTP_IDEMPOTENCY_KEY="k") for _ in range(2))
    assert first.json() == second.json() and len(client.get("/v1/files").json()["data"]) == 1


@pytest.mark.parametrize(
    ("path", "filename", "disposition", "expected"),
    [
        ("/a.txt", "mine.txt", "attachment; filename=theirs.txt", "mine.txt"),
        ("/a.txt", None, "attachment; filename=theirs.txt", "theirs.txt"),
        ("/a%20b.txt", None, None, "a b.txt"),
        ("/", None, None, "127.0.0.1"),
        ("/a%2Fb", None, None, "b"),
        ("/..%2F..", None, None, "127.0.0.1"),
    ],
)
def test_the_client_names_the_file_or_the_server_or_the_url(
    client: Any, web: Site, path: str, filename: str | None, disposition: str | None, expected: str
) -> None:
    web.pages[path] = (200, {"Content-Disposition": disposition} if disposition else {}, TEXT)
    made = ask(client, web.url(path), filename=filename).json()
    fetch()
    file = client.get(f"/v1/files/{made['id']}").json()
    assert (file["status"], file["filename"]) == ("processed", expected)


def test_what_will_never_work_fails_at_once_and_says_why(client: Any, web: Site) -> None:
    made = ask(client, web.url("/missing")).json()
    assert fetch() == 1
    file = client.get(f"/v1/files/{made['id']}").json()
    assert (file["status"], file["status_details"]) == ("error", "127.0.0.1 answered with status 404.")
    with tenant_scope():
        assert not Work.objects.exists()
    content = client.get(f"/v1/files/{made['id']}/content")
    assert content.status_code == 404 and "status 404" in content.json()["error"]["message"]


def test_what_may_work_later_is_tried_five_times_and_kept_as_a_dead_letter(client: Any, web: Site) -> None:
    web.pages["/"] = (503, {}, b"")
    made = ask(client, web.url()).json()
    for attempt in range(1, 6):
        assert fetch() == 1 and len(web.seen) == attempt
        status = client.get(f"/v1/files/{made['id']}").json()["status"]
        assert status == ("uploaded" if attempt < 5 else "error")
        hurry()
    assert fetch() == 0
    details = client.get(f"/v1/files/{made['id']}").json()["status_details"]
    assert details == "It failed 5 times. 127.0.0.1 answered with status 503."
    assert work.depth(work.FETCHING).dead == 1


def test_a_later_attempt_succeeds(client: Any, web: Site) -> None:
    web.pages["/"] = (503, {}, b"")
    made = ask(client, web.url()).json()
    fetch()
    web.pages["/"] = (200, {}, TEXT)
    hurry()
    fetch()
    file = client.get(f"/v1/files/{made['id']}").json()
    assert (file["status"], file["status_details"]) == ("processed", None)


def test_too_large_says_so(client: Any, web: Site, settings: Any) -> None:
    settings.MAX_FILE_BYTES = 100
    web.pages["/"] = (200, {}, TEXT)
    made = ask(client, web.url()).json()
    fetch()
    assert "more than 100 bytes" in client.get(f"/v1/files/{made['id']}").json()["status_details"]


def test_a_worker_that_dies_leaves_the_file_to_the_next(client: Any, web: Site) -> None:
    web.pages["/"] = (200, {}, TEXT)
    made = ask(client, web.url()).json()
    dead = remote_files.claim_next(worker="dead")
    assert dead is not None and remote_files._begin(dead) is not None
    expire_leases()
    with leave_tenant():
        tasks.sweep_fetching()
    assert fetch() == 1
    assert client.get(f"/v1/files/{made['id']}").json()["status"] == "processed"


def test_a_file_that_kills_its_workers_fails_after_five(client: Any, web: Site) -> None:
    made = ask(client, web.url()).json()
    for _ in range(5):
        claim = remote_files.claim_next(worker="dead")
        assert claim is not None
        remote_files._begin(claim)
        expire_leases()
        with leave_tenant():
            tasks.sweep_fetching()
    assert remote_files.claim_next(worker="dead") is None
    file = client.get(f"/v1/files/{made['id']}").json()
    assert (file["status"], file["status_details"]) == ("error", "The worker died 5 times on it.")


def test_a_run_that_was_taken_over_writes_nothing_and_leaves_no_bytes(client: Any, web: Site, monkeypatch: Any) -> None:
    web.pages["/"] = (200, {}, TEXT)
    made = ask(client, web.url()).json()
    slow = remote_files.claim_next(worker="slow")
    assert slow is not None
    put, written = storage.put, []

    def put_while_another_takes_over(file_id: Any, content: Any) -> str:
        written.append(file_id)
        if len(written) == 1:
            expire_leases()
            with leave_tenant():
                tasks.sweep_fetching()
            assert fetch() == 1
        return put(file_id, content)

    monkeypatch.setattr(storage, "put", put_while_another_takes_over)
    assert remote_files.run(slow, worker="slow") == 0
    file = client.get(f"/v1/files/{made['id']}").json()
    assert file["status"] == "processed" and b"".join(client.get(f"/v1/files/{made['id']}/content")) == TEXT
    assert len(written) == 2 and [storage.exists(stored) for stored in written] == [False, True]


def test_deleting_a_file_ends_its_fetch(client: Any, web: Site, monkeypatch: Any) -> None:
    web.pages["/"] = (200, {}, TEXT)
    made = ask(client, web.url()).json()
    claim = remote_files.claim_next(worker=WORKER)
    assert claim is not None
    written = []
    put = storage.put

    def put_after_it_is_deleted(file_id: Any, content: Any) -> str:
        assert client.delete(f"/v1/files/{made['id']}").status_code == 200
        written.append(file_id)
        return put(file_id, content)

    monkeypatch.setattr(storage, "put", put_after_it_is_deleted)
    remote_files.run(claim, worker=WORKER)
    assert written and not storage.exists(written[0])
    with tenant_scope():
        assert not Work.objects.filter(queue="fetching").exists() and not File.objects.exists()


def test_deleting_a_fetched_file_deletes_its_bytes(client: Any, web: Site) -> None:
    web.pages["/"] = (200, {}, TEXT)
    made = ask(client, web.url()).json()
    fetch()
    with tenant_scope():
        stored = File.objects.get().stored_id
    assert storage.exists(stored)
    client.delete(f"/v1/files/{made['id']}")
    purge()
    assert not storage.exists(stored)


def attach(client: Any, file_id: str) -> tuple[str, Any]:
    store = client.post("/v1/vector_stores", {}, format="json").json()["id"]
    return store, client.post(f"/v1/vector_stores/{store}/files", {"file_id": file_id}, format="json")


def test_a_file_is_attached_before_it_is_there_and_searched_after(client: Any, web: Site, rung: list[str]) -> None:
    web.pages["/heron.txt"] = (200, {}, TEXT)
    made = ask(client, web.url("/heron.txt")).json()
    store, attached = attach(client, made["id"])
    assert (attached.status_code, attached.json()["status"]) == (200, "in_progress")
    assert ingest() == 0
    rung.clear()
    with leave_tenant():
        tasks.fetch()
    assert rung == ["ingest", "fetch"] and ingest() == 1
    found = client.post(f"/v1/vector_stores/{store}/search", {"query": "heron"}, format="json").json()["data"]
    assert found[0]["file_id"] == made["id"]


def test_what_waits_for_a_file_fails_with_it(client: Any, web: Site) -> None:
    made = ask(client, web.url("/missing")).json()
    store, _ = attach(client, made["id"])
    fetch()
    attached = client.get(f"/v1/vector_stores/{store}/files/{made['id']}").json()
    assert attached["status"] == "failed"
    assert attached["last_error"] == {
        "code": "invalid_file", "message": "The file could not be fetched. 127.0.0.1 answered with status 404.",
    }  # fmt: skip
    _, later = attach(client, made["id"])
    assert later.status_code == 400 and "status 404" in later.json()["error"]["message"]
    with tenant_scope():
        assert VectorStoreFile.objects.count() == 1


def test_an_uploaded_file_has_no_source(client: Any) -> None:
    file = upload("text")
    assert client.get(f"/v1/files/file-{file.id.hex}").json()["source"] is None


def test_a_process_fetches_only_so_much_at_once(client: Any, web: Site, monkeypatch: Any) -> None:
    ask(client, web.url())
    monkeypatch.setattr(tasks._fetching, "_value", 0)
    with leave_tenant():
        tasks.fetch()
    assert web.connections == 0


def test_the_doorbell_rings_on_commit(
    acme: Any, web: Site, rung: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with acting_for(acme.tenant.id), django_capture_on_commit_callbacks(execute=True):
        tasks.start_fetch(url=web.url(), purpose="assistants", by=COMMAND_LINE, now=datetime.now(UTC))
        assert rung == []
    assert rung == ["fetch"]


def test_no_transaction_is_open_while_a_document_comes(client: Any, web: Site, monkeypatch: Any) -> None:
    from tenants import scope

    open_scopes = []
    real = fetching.send
    monkeypatch.setattr(
        fetching, "send", lambda *a, **k: (open_scopes.append(scope._open_scope.get()), real(*a, **k))[1]
    )
    web.pages["/"] = (200, {}, TEXT)
    ask(client, web.url())
    fetch()
    assert open_scopes == [None]


@pytest.fixture
def heron(client: Any, web: Site) -> dict[str, Any]:
    """A fetched file with a version."""
    web.pages["/heron.txt"] = (200, {"ETag": '"1"'}, TEXT)
    made = ask(client, web.url("/heron.txt")).json()
    fetch()
    return client.get(f"/v1/files/{made['id']}").json()


def refresh(client: Any, file_id: str) -> dict[str, Any]:
    """The file after the worker did what was asked."""
    answer = client.post(f"/v1/files/{file_id}/refresh")
    assert answer.status_code == 200 and answer.json()["source"]["fetching"]
    fetch()
    return client.get(f"/v1/files/{file_id}").json()


def test_a_refresh_sends_the_version_and_changes_nothing_that_is_the_same(
    client: Any, web: Site, heron: dict[str, Any]
) -> None:
    web.pages["/heron.txt"] = (304, {}, b"")
    assert refresh(client, heron["id"]) == {
        **heron,
        "source": {**heron["source"], "fetched_at": pytest.approx(0, abs=1e10)},
    }
    assert web.seen[-1].headers["if-none-match"] == '"1"'
    web.pages["/heron.txt"] = (200, {"ETag": '"2"'}, TEXT)
    again = refresh(client, heron["id"])
    assert (again["status"], again["source"]["etag"]) == ("processed", '"2"')
    with tenant_scope():
        assert File.all_rows.count() == 1


def test_newer_bytes_change_a_file_that_no_store_has(
    client: Any, web: Site, heron: dict[str, Any], django_capture_on_commit_callbacks: Any
) -> None:
    with tenant_scope():
        before = File.objects.get().stored_id
    web.pages["/heron.txt"] = (200, {"ETag": '"2"'}, b"The heron left.")
    with django_capture_on_commit_callbacks(execute=True):
        file = refresh(client, heron["id"])
    assert (file["bytes"], file["source"]["etag"], file["status"]) == (15, '"2"', "processed")
    assert b"".join(client.get(f"/v1/files/{heron['id']}/content")) == b"The heron left."
    assert not storage.exists(before)


def test_newer_bytes_replace_a_file_in_its_stores_without_a_gap(client: Any, web: Site, heron: dict[str, Any]) -> None:
    store, _ = attach(client, heron["id"])
    ingest()

    def found(query: str) -> list[str]:
        body = {"query": query}
        hits = client.post(f"/v1/vector_stores/{store}/search", body, format="json").json()["data"]
        return [hit["content"][0]["text"] for hit in hits]

    web.pages["/heron.txt"] = (200, {"ETag": '"2"'}, b"The heron left for the southern island.")
    old = refresh(client, heron["id"])
    assert old["replaced_by"] and "northern" in found("heron")[0]
    again = client.post(f"/v1/files/{heron['id']}/refresh")
    assert again.status_code == 400 and "replaced" in again.json()["error"]["message"]
    ingest()
    [text] = found("heron")
    assert "southern" in text
    assert client.get(f"/v1/files/{heron['id']}").status_code == 404
    new = client.get(f"/v1/files/{old['replaced_by']}").json()
    assert (new["filename"], new["source"]["etag"], new["status"]) == ("heron.txt", '"2"', "processed")
    listed = client.get(f"/v1/vector_stores/{store}/files").json()["data"]
    assert [one["id"] for one in listed] == [new["id"]]


def test_a_refresh_that_fails_leaves_the_file_as_it_is(client: Any, web: Site, heron: dict[str, Any]) -> None:
    web.pages["/heron.txt"] = (404, {}, b"")
    file = refresh(client, heron["id"])
    assert file["status"] == "processed"
    assert file["status_details"] == "The last refresh failed. 127.0.0.1 answered with status 404."
    assert b"".join(client.get(f"/v1/files/{heron['id']}/content")) == TEXT


def test_a_file_in_error_is_fetched_again(client: Any, web: Site) -> None:
    made = ask(client, web.url("/late.txt")).json()
    fetch()
    web.pages["/late.txt"] = (200, {}, TEXT)
    assert refresh(client, made["id"])["status"] == "processed"


def test_two_refreshes_at_once_are_one(client: Any, web: Site, heron: dict[str, Any]) -> None:
    for _ in range(2):
        client.post(f"/v1/files/{heron['id']}/refresh")
    assert fetch() == 1


def test_an_upload_cannot_be_refreshed(client: Any) -> None:
    file = upload("text")
    answer = client.post(f"/v1/files/file-{file.id.hex}/refresh")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "id")
