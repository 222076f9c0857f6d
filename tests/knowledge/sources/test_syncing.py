"""A store follows a bucket of a real S3 server: new, changed, deleted; interrupted, refused, hidden."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from celery.app.task import Task
from django.db import connections

from knowledge import purging, storage, tasks
from knowledge.models import BucketObject, BucketSource, File
from knowledge.sources import buckets, syncing
from tenants.models import AuditEvent, IdempotencyRecord, Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import expire_leases, ingest
from tests.swift.server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Swift, swift

pytestmark = pytest.mark.s3

WORKER = "a worker"
HERON = b"The heron nests on the northern island."
_serial = count()


@pytest.fixture(scope="module")
def s3() -> Iterator[Swift]:
    with swift() as running:
        yield running


class Owner:
    """The owner of a bucket."""

    def __init__(self, s3: Swift) -> None:
        self.name = f"bucket-{next(_serial)}"
        self._client = s3.client()
        self._client.create_bucket(Bucket=self.name)

    def put(self, key: str, body: bytes, **options: Any) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=body, **options)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)


@pytest.fixture
def owner(s3: Swift, settings: Any) -> Owner:
    settings.FETCH_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    return Owner(s3)


@pytest.fixture
def client(acme: Any, words: Any, monkeypatch: Any) -> Any:
    monkeypatch.setattr(Task, "apply_async", lambda self, **options: None)
    with acting_for(acme.tenant.id):
        yield acme.client


@pytest.fixture
def store(client: Any) -> str:
    return client.post("/v1/vector_stores", {"name": "followed"}, format="json").json()["id"]


def follow(client: Any, s3: Swift, store: str, bucket: str, **options: Any) -> Any:
    body = {
        "type": "s3", "bucket": bucket, "region": REGION, "endpoint_url": s3.url, "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY, **options,
    }  # fmt: skip
    return client.post(f"/v1/vector_stores/{store}/sources", body, format="json")


def work_off(limit: int = 50) -> int:
    """Run the worker until nothing waits; returns how many runs it took."""
    for done in range(limit):
        claim = syncing.claim_next(worker=WORKER)
        if claim is None:
            return done
        with leave_tenant(), acting_for(claim.tenant_id):
            syncing.run(claim, worker=WORKER)
    return limit


def path_of(source: dict[str, Any]) -> str:
    return f"/v1/vector_stores/{source['vector_store_id']}/sources/{source['id']}"


def again(client: Any, source: dict[str, Any]) -> dict[str, Any]:
    """The source after another synchronisation."""
    assert client.post(f"{path_of(source)}/sync").json()["status"] == "in_progress"
    work_off()
    ingest()
    return client.get(path_of(source)).json()


def counts(source: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in source["counts"].items() if number}


def names(client: Any, store: str) -> list[str]:
    """The keys of the store's files, as their attributes say."""
    listed = client.get(f"/v1/vector_stores/{store}/files?limit=100").json()["data"]
    return sorted(one["attributes"]["key"] for one in listed)


def search(client: Any, store: str, query: str) -> list[str]:
    hits = client.post(f"/v1/vector_stores/{store}/search", {"query": query}, format="json").json()["data"]
    return [hit["content"][0]["text"] for hit in hits]


def test_a_store_follows_a_bucket(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    owner.put("docs/heron.txt", HERON)
    owner.put("docs/deep/er/otter ö&%41+.txt", b"The otter lives in the southern river.")
    owner.put("other/secret.txt", b"Not under the prefix.")
    made = follow(client, s3, store, owner.name, prefix="docs/").json()
    assert (made["status"], made["counts"]["seen"]) == ("in_progress", 0)
    work_off()
    assert ingest() == 2
    source = client.get(path_of(made)).json()
    assert (source["status"], source["last_error"], counts(source)) == ("completed", None, {"seen": 2, "added": 2})
    assert names(client, store) == ["docs/deep/er/otter ö&%41+.txt", "docs/heron.txt"]
    assert "northern" in search(client, store, "heron")[0]

    owner.put("docs/heron.txt", b"The heron moved to the southern lagoon.")
    owner.put("docs/new.txt", b"A stork passed by.")
    owner.delete("docs/deep/er/otter ö&%41+.txt")
    source = again(client, source)
    assert counts(source) == {"seen": 2, "added": 1, "changed": 1, "removed": 1}
    assert names(client, store) == ["docs/heron.txt", "docs/new.txt"]
    [text] = [text for text in search(client, store, "heron") if "heron" in text]
    assert "lagoon" in text and not any("otter" in text for text in search(client, store, "otter river"))
    while (claim := purging.claim_next(worker=WORKER)) is not None:
        with leave_tenant(), acting_for(claim.tenant_id):
            purging.purge(claim)
    with tenant_scope():
        assert File.all_rows.count() == 2 == BucketObject.objects.count()

    assert counts(again(client, source)) == {"seen": 2, "unchanged": 2}


def test_the_same_bytes_under_a_new_date_change_nothing(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    owner.put("heron.txt", HERON)
    source = follow(client, s3, store, owner.name).json()
    work_off()
    with tenant_scope():
        BucketObject.objects.update(etag="another")
        before = File.objects.get().id
    assert counts(again(client, source)) == {"seen": 1, "unchanged": 1}
    with tenant_scope():
        assert File.objects.get().id == before and BucketObject.objects.get().etag != "another"


def test_what_cannot_be_a_document_is_skipped_with_its_reason(
    client: Any, s3: Swift, owner: Owner, store: str, settings: Any
) -> None:
    settings.MAX_FILE_BYTES = 100
    owner.put("folder/", b"")
    owner.put("empty.txt", b"")
    owner.put("large.txt", b"x" * 101)
    owner.put("n" * 256 + ".txt", HERON)
    owner.put("bomb.txt", gzip.compress(bytes(10_000)), ContentEncoding="gzip")
    owner.put("good.txt", HERON)
    source = follow(client, s3, store, owner.name).json()
    work_off()
    source = client.get(path_of(source)).json()
    assert (source["status"], counts(source)) == ("completed", {"seen": 6, "added": 1, "skipped": 5})
    skipped = client.get(f"{path_of(source)}/objects?filter=skipped").json()["data"]
    assert {one["key"]: one["reason"] for one in skipped} == {
        "folder/": "It is a folder, not a document.",
        "empty.txt": "It is empty.",
        "large.txt": "It has 101 bytes; the limit is 100.",
        "n" * 256 + ".txt": "Its name, after the last slash, cannot be the name of a file.",
        "bomb.txt": "It has more than 100 bytes, which is the limit.",
    }
    [followed] = client.get(f"{path_of(source)}/objects?filter=followed").json()["data"]
    assert (followed["key"], followed["status"], followed["reason"]) == ("good.txt", "followed", None)
    owner.put("good.txt", b"")
    source = again(client, source)
    assert names(client, store) == [] and counts(source)["removed"] == 1


def test_long_listings_are_read_page_by_page_and_resumed(
    client: Any, s3: Swift, owner: Owner, store: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(syncing, "PAGE_SIZE", 3)
    keys = sorted((f"{number}-ü.txt" if number % 2 else f"a/{number}.txt" for number in range(8)), key=str.encode)
    for key in keys:
        owner.put(key, b"document " + key.encode())
    source = follow(client, s3, store, owner.name).json()
    # The fourth object's worker is killed between its bytes and its row.
    put, written = storage.put, []

    class Killed(BaseException):
        pass

    def put_until_killed(file_id: Any, content: Any) -> str:
        written.append(file_id)
        if len(written) == 4:
            raise Killed
        return put(file_id, content)

    monkeypatch.setattr(storage, "put", put_until_killed)
    claim = syncing.claim_next(worker="dead")
    assert claim is not None
    with pytest.raises(Killed):
        syncing.run(claim, worker="dead")
    expire_leases()
    with leave_tenant():
        tasks.sweep_syncing()
    work_off()
    source = client.get(path_of(source)).json()
    assert (source["status"], counts(source)) == ("completed", {"seen": 8, "added": 8})
    assert names(client, store) == sorted(keys) and len(written) == 9
    for key in keys[::2]:
        owner.delete(key)
    assert counts(again(client, source)) == {"seen": 4, "unchanged": 4, "removed": 4}
    assert names(client, store) == sorted(keys[1::2])


def test_a_run_gives_others_their_turn(client: Any, s3: Swift, owner: Owner, store: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(syncing, "SLICE_SECONDS", 0.0)
    for number in range(3):
        owner.put(f"{number}.txt", b"document %d" % number)
    source = follow(client, s3, store, owner.name).json()
    assert work_off() == 4
    source = client.get(path_of(source)).json()
    assert (source["status"], counts(source)) == ("completed", {"seen": 3, "added": 3})


def test_two_synchronisations_of_a_source_are_one(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    source = follow(client, s3, store, owner.name).json()
    client.post(f"{path_of(source)}/sync")
    with tenant_scope():
        assert Work.objects.filter(queue="syncing").count() == 1
    assert work_off() == 1


def test_a_run_that_was_taken_over_writes_nothing(
    client: Any, s3: Swift, owner: Owner, store: str, monkeypatch: Any
) -> None:
    owner.put("heron.txt", HERON)
    source = follow(client, s3, store, owner.name).json()
    put, written = storage.put, []

    def put_while_another_takes_over(file_id: Any, content: Any) -> str:
        written.append(file_id)
        if len(written) == 1:
            expire_leases()
            with leave_tenant():
                tasks.sweep_syncing()
            assert work_off() == 1
        return put(file_id, content)

    monkeypatch.setattr(storage, "put", put_while_another_takes_over)
    work_off()
    assert counts(client.get(path_of(source)).json()) == {"seen": 1, "added": 1}
    assert [storage.exists(file_id) for file_id in written] == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secret_access_key": "wrong"}, "The bucket answered with SignatureDoesNotMatch."),
        ({"bucket": "no-such-bucket"}, "The bucket answered with NoSuchBucket."),
    ],
)
def test_a_bucket_that_refuses_is_said_on_the_source_and_removes_nothing(
    client: Any, s3: Swift, owner: Owner, store: str, options: dict[str, str], message: str
) -> None:
    source = follow(client, s3, store, **{"bucket": owner.name, **options}).json()
    work_off()
    source = client.get(path_of(source)).json()
    assert (source["status"], source["last_error"], source["last_completed_at"]) == ("failed", message, None)


def test_a_bucket_that_is_away_is_tried_five_times(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    source = follow(client, s3, store, owner.name, endpoint_url="http://127.0.0.1:9").json()
    for _ in range(5):
        assert work_off() == 1
        with tenant_scope():
            Work.objects.filter(state="delayed").update(state="queued")
    assert work_off() == 0
    source = client.get(path_of(source)).json()
    assert source["status"] == "failed"
    assert source["last_error"] == "It failed 5 times. The connection to 127.0.0.1 failed."


def test_a_listing_out_of_order_is_not_believed(
    client: Any, s3: Swift, owner: Owner, store: str, monkeypatch: Any
) -> None:
    for key in ("a.txt", "b.txt"):
        owner.put(key, HERON + key.encode())
    source = follow(client, s3, store, owner.name).json()
    work_off()
    real = buckets.Bucket._ask

    def reversed_listing(self: Any, operation: Any, **arguments: Any) -> Any:
        answer = real(self, operation, **arguments)
        return {**answer, "Contents": answer["Contents"][::-1]} if "Contents" in answer else answer

    monkeypatch.setattr(buckets.Bucket, "_ask", reversed_listing)
    source = again(client, source)
    assert source["status"] == "failed" and "order" in source["last_error"]
    assert names(client, store) == ["a.txt", "b.txt"]


def test_an_endpoint_is_guarded_like_a_url(client: Any, s3: Swift, owner: Owner, store: str, settings: Any) -> None:
    source = follow(client, s3, store, owner.name).json()
    settings.FETCH_ALLOWED_NETWORKS = []
    work_off()
    source = client.get(path_of(source)).json()
    assert source["last_error"] == "127.0.0.1 does not lead to a public address."


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"endpoint_url": "http://127.0.0.2:80"}, "endpoint_url"),
        ({"endpoint_url": "http://169.254.169.254"}, "endpoint_url"),
        ({"endpoint_url": "http://user:password@s3.example.org"}, "endpoint_url"),
        ({"endpoint_url": "http://s3.example.org/path"}, "endpoint_url"),
        ({"endpoint_url": "ftp://s3.example.org"}, "endpoint_url"),
        ({"bucket": "a/b"}, "bucket"),
        ({"bucket": "arn:aws:s3:us-east-1:123456789012:accesspoint/a"}, "bucket"),
        ({"region": "evil.example.org/"}, "region"),
        ({"prefix": "x" * 1025}, "prefix"),
        ({"access_key_id": "a\nb"}, "access_key_id"),
        ({"secret_access_key": ""}, "secret_access_key"),
        ({"sync_every_minutes": 0}, "sync_every_minutes"),
        ({"type": "gs"}, "type"),
    ],
)
def test_bad_requests_name_their_parameter(
    client: Any, s3: Swift, owner: Owner, store: str, options: dict[str, Any], param: str
) -> None:
    answer = follow(client, s3, store, **{"bucket": owner.name, **options})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_credentials_go_in_and_never_come_out(
    acme: Any, client: Any, s3: Swift, owner: Owner, store: str, caplog: Any
) -> None:
    secret = "wJalrXUtnFEMI-K7MDENG"
    body = {
        "type": "s3", "bucket": owner.name, "region": REGION, "endpoint_url": s3.url, "access_key_id": "AKIAFINDME",
        "secret_access_key": secret,
    }  # fmt: skip
    url = f"/v1/vector_stores/{store}/sources"
    made = client.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY="k").json()
    assert client.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY="k").json() == made
    work_off()
    answers = [
        made,
        client.get(url).json(),
        client.get(path_of(made)).json(),
        client.post(f"{path_of(made)}/sync").json(),
    ]
    with connections["default"].cursor() as cursor, tenant_scope():
        cursor.execute("SELECT access_key_id, secret_access_key FROM knowledge_bucketsource")
        rows = cursor.fetchall()
        kept = [event.changes for event in AuditEvent.objects.all()]
        kept += [record.response for record in IdempotencyRecord.objects.all()]
        assert BucketSource.objects.get().secret_access_key == secret
    for text in (json.dumps([answers, rows, kept]), caplog.text):
        assert secret not in text and "AKIAFINDME" not in text
    assert len(client.get(url).json()["data"]) == 1


def test_a_periodic_source_is_synchronised_when_it_is_due(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    source = follow(client, s3, store, owner.name, sync_every_minutes=60).json()
    work_off()
    source = client.get(path_of(source)).json()
    assert source["next_sync_at"] == pytest.approx(source["last_completed_at"] + 3600, abs=5)
    owner.put("heron.txt", HERON)
    with leave_tenant():
        tasks.sweep_syncing()
    assert work_off() == 0
    with tenant_scope():
        BucketSource.objects.update(next_sync_at=datetime.now(UTC) - timedelta(seconds=1))
    with leave_tenant():
        tasks.sweep_syncing()
        tasks.sweep_syncing()
    assert work_off() == 1 and names(client, store) == ["heron.txt"]


def test_deleting_a_source_keeps_its_files_and_ends_its_work(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    owner.put("heron.txt", HERON)
    source = follow(client, s3, store, owner.name).json()
    work_off()
    client.post(f"{path_of(source)}/sync")
    answer = client.delete(path_of(source)).json()
    assert answer == {"id": source["id"], "object": "vector_store.source.deleted", "deleted": True}
    assert work_off() == 1 and client.get(path_of(source)).status_code == 404
    assert names(client, store) == ["heron.txt"]
    with tenant_scope():
        assert not BucketObject.objects.exists() and not Work.objects.filter(queue="syncing").exists()


def test_deleting_a_store_deletes_its_sources(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    owner.put("heron.txt", HERON)
    follow(client, s3, store, owner.name)
    work_off()
    assert client.delete(f"/v1/vector_stores/{store}").status_code == 200
    while (claim := purging.claim_next(worker=WORKER)) is not None:
        with leave_tenant(), acting_for(claim.tenant_id):
            purging.purge(claim)
    with tenant_scope():
        assert not BucketSource.objects.exists() and not BucketObject.objects.exists()


def test_a_file_that_was_deleted_by_hand_comes_back(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    owner.put("heron.txt", HERON)
    source = follow(client, s3, store, owner.name).json()
    work_off()
    [file] = client.get(f"/v1/vector_stores/{store}/files").json()["data"]
    client.delete(f"/v1/files/{file['id']}")
    assert counts(again(client, source)) == {"seen": 1, "added": 1}
    assert names(client, store) == ["heron.txt"]


def test_other_stores_keep_their_own_files(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    owner.put("heron.txt", HERON)
    other = client.post("/v1/vector_stores", {"name": "other"}, format="json").json()["id"]
    for one in (store, other):
        follow(client, s3, one, owner.name)
    work_off()
    assert names(client, store) == names(client, other) == ["heron.txt"]
    with tenant_scope():
        assert File.objects.count() == 2


def test_what_a_bucket_brings_is_stored_as_it_was(client: Any, s3: Swift, owner: Owner, store: str) -> None:
    body = bytes(range(256)) * 3000
    owner.put("all.bin", body)
    follow(client, s3, store, owner.name)
    work_off()
    [file] = client.get("/v1/files").json()["data"]
    assert (file["filename"], file["bytes"]) == ("all.bin", len(body))
    assert b"".join(client.get(f"/v1/files/{file['id']}/content")) == body
