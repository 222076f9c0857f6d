"""Stored chat completions in the SDK's shapes; what was not to be stored is not there."""

from datetime import UTC, datetime
from typing import Any

import pytest

from inference.models import Generation
from inference.stored_completions import stored_completions
from tenants.ids import public_id, uuid7
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

URL = "/v1/chat/completions"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
]


def completed(member: Member, **more: Any) -> str:
    metadata = more.pop("metadata", {"app": "shop"})
    request = {"model": "m", "messages": MESSAGES, "store": True, "temperature": 0.5, **more.pop("request", {})}
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        row = Generation(
            tenant_id=tenant_id, id=uuid7(), kind="chat", state="completed", key_id=uuid7(), alias="m", model="m",
            inbox="x", request=request, finished_at=datetime.now(UTC), stored=True, metadata=metadata,
        )  # fmt: skip
        row.terms = more.pop("terms", {"groups": []})
        ident = public_id("chatcmpl-", row.id)
        row.answer = {"id": ident, "object": "chat.completion", "created": 1, "model": "m", "choices": [], "usage": {}}
        for name, value in more.items():
            setattr(row, name, value)
        row.save(force_insert=True)
    return ident


def listed(member: Member, **query: Any) -> list[str]:
    return [row["id"] for row in member.client.get(URL, query).json()["data"]]


def test_they_are_listed_oldest_first_by_model_and_metadata(acme: Member, globex: Member) -> None:
    first = completed(acme)
    second = completed(acme, metadata={"app": "shop", "user": "7"}, alias="other")
    completed(acme, stored=False)
    completed(acme, state="failed")
    completed(acme, answer=None)
    assert listed(acme) == [first, second]
    assert listed(acme, order="desc", limit=1) == [second]
    assert listed(acme, after=first) == [second]
    assert listed(acme, model="m") == [first]
    assert listed(acme, **{"metadata[app]": "shop", "metadata[user]": "7"}) == [second]
    assert listed(acme, **{"metadata[user]": "8"}) == listed(globex) == []


def test_one_shows_its_answer_and_what_was_asked(acme: Member, globex: Member) -> None:
    ident = completed(acme)
    shown = acme.client.get(f"{URL}/{ident}").json()
    assert (shown["id"], shown["metadata"], shown["temperature"], shown["tools"]) == (ident, {"app": "shop"}, 0.5, None)
    assert globex.client.get(f"{URL}/{ident}").status_code == acme.client.get(f"{URL}/chatcmpl-1").status_code == 404
    hidden = completed(acme, stored=False)
    assert acme.client.get(f"{URL}/{hidden}").status_code == 404


def test_its_messages_have_ids_and_pages(acme: Member) -> None:
    ident = completed(acme)
    page = acme.client.get(f"{URL}/{ident}/messages", {"limit": 1}).json()
    assert page["has_more"] is True
    assert page["data"] == [{"id": f"{ident}-0", "role": "system", "content": "Be brief.", "content_parts": None}]
    rest = acme.client.get(f"{URL}/{ident}/messages", {"after": page["last_id"]}).json()
    assert rest["has_more"] is False
    assert [(m["id"], m["content"], m["content_parts"]) for m in rest["data"]] == [
        (f"{ident}-1", "What is this?", MESSAGES[1]["content"])
    ]
    assert acme.client.get(f"{URL}/{ident}/messages", {"order": "desc"}).json()["first_id"] == f"{ident}-1"
    assert acme.client.get(f"{URL}/{ident}/messages", {"after": "x"}).status_code == 400


def test_its_metadata_can_be_changed(acme: Member) -> None:
    ident = completed(acme)
    changed = acme.client.post(f"{URL}/{ident}", {"metadata": {"b": "2"}}, format="json")
    assert changed.json()["metadata"] == {"b": "2"} == acme.client.get(f"{URL}/{ident}").json()["metadata"]
    for bad in ({}, {"metadata": {"b": 2}}, {"metadata": "b"}):
        assert acme.client.post(f"{URL}/{ident}", bad, format="json").status_code == 400


def test_deleting_erases_what_was_said_and_keeps_the_call(acme: Member) -> None:
    ident = completed(acme)
    assert acme.client.delete(f"{URL}/{ident}").json() == {
        "id": ident,
        "object": "chat.completion.deleted",
        "deleted": True,
    }
    assert acme.client.get(f"{URL}/{ident}").status_code == acme.client.delete(f"{URL}/{ident}").status_code == 404
    with acting_for(acme.tenant.id), tenant_scope():
        row = Generation.objects.get()
        assert (row.request, row.answer, row.metadata, row.state) == (None, None, None, "completed")
        assert AuditEvent.objects.filter(action="chat_completion.deleted", object_id=str(row.id)).count() == 1


def test_answers_from_documents_are_seen_by_those_in_all_their_groups(acme: Member) -> None:
    search = {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}
    plain = completed(acme, terms={"groups": ["board"]})
    closed = completed(acme, request=search, terms={"groups": ["board", "staff"]})
    open_to_all = completed(acme, request=search, terms={"groups": []})
    functions = completed(acme, request={"tools": [{"type": "function", "function": {"name": "f"}}]})

    def seen(sight: frozenset[str] | None) -> list[str]:
        with acting_for(acme.tenant.id), tenant_scope():
            return [public_id("chatcmpl-", row.id) for row in stored_completions(sight=sight).order_by("id")]

    assert seen(None) == seen(frozenset({"board", "staff"})) == [plain, closed, open_to_all, functions]
    assert seen(frozenset({"board"})) == seen(frozenset()) == [plain, open_to_all, functions]


@pytest.mark.parametrize(
    ("method", "url"), [("put", URL), ("delete", URL), ("get", "/v1/embeddings"), ("get", "/v1/responses")]
)
def test_other_methods_of_the_hot_paths_are_not_allowed(acme: Member, method: str, url: str) -> None:
    answer = getattr(acme.client, method)(url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
