"""Access groups: a file kept to groups is found by their members, and by nobody else in any way."""

import statistics
import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from knowledge import attachments
from knowledge.chunking import ChunkingStrategy
from knowledge.models import VectorStoreFile
from knowledge.retrieval import answer, prepare, search
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.end_users import END_USER_HEADER
from tenants.errors import NotFound
from tenants.ids import public_id
from tenants.models import AuditEvent
from tenants.permissions import KEY_SCOPES
from tenants.scope import acting_for, tenant_scope
from tenants.signing_secrets import create_secret
from tests.conftest import Member
from tests.knowledge.conftest import attach, ingest, make_store, upload

#: name → (text, allowed_groups)
DOCUMENTS: dict[str, tuple[str, list[str] | None]] = {
    "open": ("The canteen serves soup at noon. The heron nests on the island.", None),
    "board": ("The board plans the merger with Initech. The heron is on the logo.", ["board"]),
    "sales": ("Sales offers the heron statue at a discount.", ["sales", "board"]),
    "nobody": ("A draft about the heron that nobody reads yet.", []),
}
RANKERS = ("auto", "dense", "lexical")


@pytest.fixture
def library(acme, words):
    """A store of the documents, as the tenant's own code; its files by name."""
    with acting_for(acme.tenant.id):
        store = make_store(name="library")
        store.files_by_name = {}
        for name, (text, groups) in DOCUMENTS.items():
            file = upload(text, f"{name}.txt")
            attach(store, file, allowed_groups=groups, attributes={"kind": "note"})
            store.files_by_name[name] = file
        ingest()
        yield store


def found(store, query="heron", **options) -> set[str]:
    return {Path(passage.filename).stem for passage in search(store_ids=[store.id], query=query, **options).passages}


def test_search_finds_what_is_open_or_allowed(library):
    allowed = {
        (): {"open"},
        ("sales",): {"open", "sales"},
        ("board",): {"open", "board", "sales"},
        ("Board", "boar", "board "): {"open"},
        ("other", "sales"): {"open", "sales"},
    }
    for filters, ranker, groups in product((None, {"type": "eq", "key": "kind", "value": "note"}), RANKERS, allowed):
        seen = found(library, groups=groups, ranker=ranker, filters=filters)
        assert seen == allowed[groups], (groups, ranker, filters)


def test_without_saying_groups_only_what_is_open_is_found(library):
    assert found(library) == {"open"}
    with pytest.raises(NotFound):
        attachments.text_of(store_id=library.id, file_id=library.files_by_name["board"].id)


def test_what_is_hidden_takes_no_places(library):
    """The limit and the ranks are of what may be found: fifty hidden passages do not push one out."""
    for number in range(12):
        attach(library, upload(f"heron heron heron {number}", f"h{number}.txt"), allowed_groups=["board"])
    ingest()
    for ranker in RANKERS:
        assert found(library, "heron heron heron", limit=1, ranker=ranker) == {"open"}
    with tenant_scope():
        best = search(store_ids=[library.id], query="heron", ranker="lexical").passages[0]
    assert best.score == pytest.approx(1)  # the best of what is seen, not of what is there


def test_a_file_restricted_between_the_check_and_the_search_is_not_found(acme, words):
    with acting_for(acme.tenant.id):
        store = make_store()
        file = upload("The heron nests here.")
        attach(store, file)
        ingest()
        question = prepare(store_ids=[store.id], query="heron")
        assert not question.restricted and len(answer(question).passages) == 1
        attachments.describe(store_id=store.id, file_id=file.id, allowed_groups=["board"], by=COMMAND_LINE)
        assert answer(question).passages == []


def test_an_unrestricted_store_is_scanned_without_a_condition(acme, words):
    with acting_for(acme.tenant.id):
        store, other = make_store(), make_store()
        attach(other, upload("secret"), allowed_groups=["board"])
        attach(store, upload("The heron nests here."))
        ingest()
        with CaptureQueriesContext(connection) as queries:
            search(store_ids=[store.id], query="heron", groups=["sales"])
        assert not any("matching" in query["sql"] for query in queries)
        with CaptureQueriesContext(connection) as queries:
            search(store_ids=[store.id, other.id], query="heron", groups=["sales"])
        assert any("matching AS MATERIALIZED" in query["sql"] for query in queries)


def test_changing_groups_takes_effect_at_once_and_is_another_revision(library):
    def revision() -> int:
        with tenant_scope():
            library.refresh_from_db()
        return library.revision

    ids = {"store_id": library.id, "file_id": library.files_by_name["board"].id, "by": COMMAND_LINE}
    before = revision()
    attachments.describe(**ids, allowed_groups=["sales"])
    assert revision() == before + 1
    assert found(library, groups=["board"]) == {"open", "sales"}
    assert "board" in found(library, groups=["sales"])
    attachments.describe(**ids, allowed_groups=None)
    assert "board" in found(library)
    attachments.describe(**ids, attributes={"a": 1})
    with tenant_scope():
        row = VectorStoreFile.objects.get(file_id=ids["file_id"])
        events = AuditEvent.objects.filter(action="vector_store_file.updated").order_by("id")
        assert (row.attributes, row.allowed_groups) == ({"a": 1}, None)
        assert [event.changes.get("allowed_groups") for event in events] == [
            [["board"], ["sales"]], [["sales"], None], None,
        ]  # fmt: skip


def test_attaching_again_does_not_open_a_file(library):
    file = library.files_by_name["board"]
    attach(library, file)
    attach(library, file, strategy=None, attributes={"x": "y"})
    assert "board" not in found(library)
    attach(library, file, strategy=ChunkingStrategy(100, 0))  # made anew
    ingest()
    assert "board" not in found(library) and "board" in found(library, groups=["board"])
    attach(library, file, allowed_groups=None)
    attach(library, file, strategy=ChunkingStrategy(100, 0), allowed_groups=None)
    ingest()
    assert "board" in found(library)


def test_a_new_version_is_for_the_readers_of_the_old_one(library):
    old = library.files_by_name["board"]
    new = upload("The heron is gone from the logo.", "board-2.txt")
    attach(library, new, replaces=old.id)
    ingest()
    assert found(library) == {"open"}
    assert found(library, groups=["board"]) == {"open", "board-2", "sales"}


def test_a_version_on_its_way_follows_what_is_said_of_the_old_one(library):
    old = library.files_by_name["open"]
    attach(library, second := upload("The heron, second edition.", "second.txt"), replaces=old.id)
    attach(library, upload("The heron, third edition.", "third.txt"), replaces=second.id)
    attachments.describe(store_id=library.id, file_id=old.id, allowed_groups=["board"], by=COMMAND_LINE)
    assert found(library) == set()
    ingest()
    assert found(library) == set()
    assert "third" in found(library, groups=["board"])


def test_time_does_not_tell_whether_a_hidden_document_matches(library):
    """Medians of alternating searches: one that hundreds of hidden passages answer, one that nothing does."""
    merger = " ".join(f"The merger with Initech number{number} of the board is planned." for number in range(2_000))
    attach(library, upload(merger, "merger.txt"), allowed_groups=["board"], strategy=ChunkingStrategy(100, 0))
    ingest()
    assert len(search(store_ids=[library.id], query="merger Initech", groups=["board"], limit=50).passages) == 50
    times: dict[str, list[float]] = {"merger Initech number7": [], "walrus accordion telegrams": []}
    for _ in range(30):
        for query, measured in times.items():
            started = time.perf_counter()
            assert found(library, query) == {"open"}
            measured.append(time.perf_counter() - started)
    hidden, nothing = (statistics.median(measured) for measured in times.values())
    assert abs(hidden - nothing) < 0.4 * max(hidden, nothing)


# over REST -----------------------------------------------------------------------------------------------------------


def url(store, *rest: str) -> str:
    return "/".join(["/v1/vector_stores", public_id("vs_", store.id), *rest])


def file_id(store, name: str) -> str:
    return public_id("file-", store.files_by_name[name].id)


class Readers:
    """Clients by what they may find."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.row, self.value = create_secret(name="app", by=COMMAND_LINE, now=datetime.now(UTC))

    def key(self, *groups: str) -> Any:
        scopes = sorted(KEY_SCOPES - {"end_users.write"})
        return Member(self.member.tenant, issue(name="n", scopes=scopes, groups=groups, by=COMMAND_LINE)[1]).client

    def token(self, *groups: str, client: Any = None) -> Any:
        now = int(datetime.now(UTC).timestamp())
        said = {
            "iss": public_id("tenant_", self.member.tenant.id),
            "aud": "atrium",
            "sub": "u",
            "iat": now,
            "exp": now + 60,
        }
        text = jwt.encode({**said, "groups": list(groups)}, self.value, headers={"kid": public_id("esk_", self.row.id)})
        client = client or self.member.client
        client.credentials(**client._credentials, **{f"HTTP_{END_USER_HEADER.upper().replace('-', '_')}": text})
        return client


@pytest.fixture
def readers(acme, library):
    return Readers(acme)


def searched(client, store, **body) -> set[str]:
    answer = client.post(url(store, "search"), {"query": "heron", **body})
    assert answer.status_code == 200, answer.content
    return {Path(hit["filename"]).stem for hit in answer.json()["data"]}


def test_the_groups_come_from_the_key_or_the_token(acme, library, readers):
    for client, expected in [
        (acme.client, {"open"}),
        (readers.key("sales"), {"open", "sales"}),
        (readers.key("board"), {"open", "board", "sales"}),
        (readers.token(), {"open"}),
        (readers.token("sales", "x"), {"open", "sales"}),
        (readers.token("board", client=readers.key("sales")), {"open"}),
        (readers.token("board", "sales", client=readers.key("sales")), {"open", "sales"}),
    ]:
        assert searched(client, library) == expected


def test_the_body_says_nothing_about_groups(acme, library, readers):
    for body in (
        {"groups": ["board"]},
        {"allowed_groups": ["board"]},
        {"user": "board"},
        {"end_user": {"groups": ["board"]}},
    ):
        assert searched(acme.client, library, **body) == {"open"}
    assert searched(acme.client, library, filters={"type": "eq", "key": "allowed_groups", "value": "board"}) == set()


def test_the_text_is_for_those_who_would_find_it(acme, library, readers):
    for name, client, status in [
        ("open", acme.client, 200),
        ("board", acme.client, 404),
        ("board", readers.key("sales"), 404),
        ("board", readers.key("board"), 200),
        ("board", readers.token("board"), 200),
        ("board", readers.token("sales"), 404),
        ("nobody", readers.key("board"), 404),
    ]:
        answer = client.get(url(library, "files", file_id(library, name), "content"))
        assert answer.status_code == status
        if status == 404:
            missing = client.get(url(library, "files", "file-" + "0" * 32, "content"))
            assert answer.content == missing.content


def test_a_limited_caller_learns_of_no_other_file(acme, library, readers):
    """Under the store and under /v1/files alike: kept from it is missing for it."""
    for client, known in [
        (acme.client, set(DOCUMENTS)),
        (readers.key("sales"), {"open", "sales"}),
        (readers.token("sales"), {"open", "sales"}),
        (readers.token(), {"open"}),
    ]:
        ids = {file_id(library, name): name for name in DOCUMENTS}
        for listing in (url(library, "files"), "/v1/files"):
            data = client.get(listing).json()["data"]
            assert {ids[item["id"]] for item in data} == known
        for name in DOCUMENTS:
            ident, expected = file_id(library, name), 200 if name in known else 404
            assert client.get(url(library, "files", ident)).status_code == expected
            assert client.get(f"/v1/files/{ident}").status_code == expected
            content = client.get(f"/v1/files/{ident}/content")
            if expected == 200:
                content.getvalue()  # which closes it
            assert content.status_code == expected
            if expected == 404:
                assert client.delete(f"/v1/files/{ident}").status_code == 404
                assert client.delete(url(library, "files", ident)).status_code == 404
                assert client.post(url(library, "files", ident), {"allowed_groups": None}).status_code == 404
                # Neither again here nor in a store of its own.
                assert client.post(url(library, "files"), {"file_id": ident, "allowed_groups": None}).status_code == 404
                assert client.post("/v1/vector_stores", {"file_ids": [ident]}).status_code == 404
    assert found(library, groups=["board", "sales"]) == {"open", "board", "sales"}


def test_groups_are_shown_set_and_changed(acme, library):
    file = public_id("file-", upload("The heron again.", "late.txt").id)
    made = acme.client.post(url(library, "files"), {"file_id": file, "allowed_groups": ["sales", "board", "sales"]})
    assert made.json()["allowed_groups"] == ["board", "sales"]
    one = url(library, "files", file)
    assert acme.client.post(one, {"attributes": {"a": 1}}).json()["allowed_groups"] == ["board", "sales"]
    changed = acme.client.post(one, {"allowed_groups": ["x"]}).json()
    assert (changed["allowed_groups"], changed["attributes"]) == (["x"], {"a": 1})
    assert acme.client.post(one, {"allowed_groups": None}).json()["allowed_groups"] is None
    assert acme.client.post(one, {"allowed_groups": []}).json()["allowed_groups"] == []
    assert acme.client.get(one).json()["allowed_groups"] == []
    assert acme.client.post(one, {}).status_code == 400


def test_the_files_of_a_batch_have_groups_together_or_each_its_own(acme, library, readers):
    files = [public_id("file-", upload(f"The heron, part {number}.", f"part{number}.txt").id) for number in range(3)]
    batches = url(library, "file_batches")
    alike = acme.client.post(batches, {"file_ids": files[:1], "allowed_groups": ["board"]}).json()
    entries = [{"file_id": files[1], "allowed_groups": ["sales"]}, {"file_id": files[2]}]
    each = acme.client.post(batches, {"files": entries}).json()
    ingest()
    assert searched(readers.key("sales"), library) == {"open", "sales", "part1", "part2"}
    for batch, client, known in [
        (alike, acme.client, [["board"]]),
        (alike, readers.key("sales"), []),
        (each, readers.key("sales"), [None, ["sales"]]),
        (each, readers.key("other"), [None]),
    ]:
        listed = client.get(url(library, "file_batches", batch["id"], "files")).json()["data"]
        assert [item["allowed_groups"] for item in listed] == known
    hidden = readers.key("other").post(batches, {"files": [{"file_id": files[0], "allowed_groups": None}]})
    assert hidden.status_code == 404


def test_groups_that_cannot_be_are_400(acme, library):
    one = url(library, "files", file_id(library, "board"))
    for groups in ("board", {"board": True}, [None], [""], [" x"], ["x\u200b"], ["x" * 129], ["x"] * 101, 7, True):
        body = {"allowed_groups": groups}
        for path, sent in [(one, body), (url(library, "files"), {**body, "file_id": file_id(library, "board")})]:
            answer = acme.client.post(path, sent)
            assert answer.status_code == 400 and "allowed_groups" in answer.json()["error"]["param"], groups
    assert "board" not in found(library)


def test_the_same_idempotency_key_of_another_reader_is_another_request(acme, library, readers):
    """An answer made for one reader is not repeated to the next."""
    sent = {"name": "n", "scopes": ["inference"], "groups": ["board"]}
    headers = {"Idempotency-Key": "k"}
    assert readers.token("board").post("/v1/api_keys", sent, headers=headers).status_code == 201
    assert readers.token("board").post("/v1/api_keys", sent, headers=headers).headers["idempotent-replayed"] == "true"
    assert readers.token("sales").post("/v1/api_keys", sent, headers=headers).status_code == 422
