"""Conversations: their items and order, one response at a time, nothing lost and nothing twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openai.types.conversations import Conversation as SdkConversation
from openai.types.conversations import ConversationItemList

from inference.models import Conversation, ConversationItem, Generation
from inference.responses import conversations
from inference.responses.conversations import ConversationLocked
from inference.responses.history import Sight
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

from .conftest import Admit

SEARCH = [{"type": "file_search", "vector_store_ids": ["vs_1"]}]


def begin(member: Member, *said: str, **body: Any) -> str:
    items = [{"role": "user", "content": text} for text in said]
    made = member.client.post("/v1/conversations", {"items": items, **body}, format="json")
    assert made.status_code == 200, made.json()
    SdkConversation.model_validate(made.json())
    return made.json()["id"]


def texts(member: Member, conversation: str, **query: Any) -> list[str]:
    listed = member.client.get(f"/v1/conversations/{conversation}/items", {"order": "asc", **query}).json()
    if listed["data"]:
        ConversationItemList.model_validate(listed)
    return [item["content"][0]["text"] for item in listed["data"]]


def test_it_is_made_changed_read_and_deleted(acme: Member) -> None:
    ident = begin(acme, "one", metadata={"topic": "herons"})
    url = f"/v1/conversations/{ident}"
    assert acme.client.get(url).json()["metadata"] == {"topic": "herons"}
    assert acme.client.post(url, {"metadata": {"topic": "owls"}}, format="json").json()["metadata"] == {"topic": "owls"}
    refused = acme.client.post(url, {"metadata": {"k": "v" * 513}}, format="json")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "metadata")
    assert acme.client.delete(url).json() == {"id": ident, "object": "conversation.deleted", "deleted": True}
    assert acme.client.get(url).status_code == acme.client.get(f"{url}/items").status_code == 404
    with acting_for(acme.tenant.id), tenant_scope():
        assert ConversationItem.objects.count() == 0


def test_items_are_added_listed_in_pages_read_and_taken_out(acme: Member) -> None:
    ident = begin(acme, "one")
    url = f"/v1/conversations/{ident}/items"
    more = [{"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]
    added = acme.client.post(url, {"items": more}, format="json").json()
    assert [item["role"] for item in added["data"]] == ["assistant", "user"] and added["has_more"] is False
    assert texts(acme, ident) == ["one", "two", "three"]
    newest = acme.client.get(url, {"limit": 2}).json()
    assert [item["content"][0]["text"] for item in newest["data"]] == ["three", "two"] and newest["has_more"]
    rest = acme.client.get(url, {"after": newest["last_id"]}).json()
    assert [item["content"][0]["text"] for item in rest["data"]] == ["one"] and not rest["has_more"]
    second = added["first_id"]
    assert acme.client.get(f"{url}/{second}").json() == added["data"][0]
    assert acme.client.delete(f"{url}/{second}").json()["id"] == ident
    assert texts(acme, ident) == ["one", "three"]
    assert acme.client.get(f"{url}/{second}").status_code == 404
    many = acme.client.post(url, {"items": more * 11}, format="json")
    assert (many.status_code, many.json()["error"]["param"]) == (400, "items")


def test_a_response_reads_the_conversation_and_its_items_join_once(acme: Member, admit: Admit) -> None:
    ident = begin(acme, "I am Ada.")
    first = admit(acme, input="Who am I?", conversation=ident)
    assert [message["content"] for message in first.chat()] == ["I am Ada.", "Who am I?"]
    first.end("Ada.")
    for _ in range(3):  # whoever looks brings them in, once
        assert texts(acme, ident) == ["I am Ada.", "Who am I?", "Ada."]
    second = admit(acme, input="Sure?", conversation={"id": ident})
    assert [message["content"] for message in second.chat()] == ["I am Ada.", "Who am I?", "Ada.", "Sure?"]
    assert "Ada" not in str(second.stored)
    second.end("Yes.")
    # Without anybody having looked in between.
    third = admit(acme, input="Good.", conversation=ident)
    assert [message["content"] for message in third.chat()][3:] == ["Sure?", "Yes.", "Good."]
    said = acme.client.get(f"/v1/responses/{first.public}").json()["output"][0]["id"]
    assert acme.client.get(f"/v1/conversations/{ident}/items/{said}").json()["content"][0]["text"] == "Ada."


def test_one_response_at_a_time(acme: Member, admit: Admit) -> None:
    ident = begin(acme, "one")
    first = admit(acme, conversation=ident)
    url = f"/v1/conversations/{ident}"
    with pytest.raises(ConversationLocked):
        admit(acme, conversation=ident)
    for answer in (
        acme.client.delete(url),
        acme.client.post(f"{url}/items", {"items": [{"role": "user", "content": "x"}]}, format="json"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conversation_locked")
        assert answer.headers["retry-after"] == "1"
    assert texts(acme, ident) == ["one"]
    first.end("lost", state="failed")
    second = admit(acme, input="again", conversation=ident)  # a failed one adds nothing
    assert [message["content"] for message in second.chat()] == ["one", "again"]


def test_a_refused_admission_and_one_that_died_leave_it_free(acme: Member, admit: Admit) -> None:
    ident = begin(acme)
    with pytest.raises(InvalidRequest):
        admit(acme, conversation=ident, max_output_tokens=10**9)
    now = datetime.now(UTC)
    with acting_for(acme.tenant.id):
        conversations.occupy(ident, generation_id=uuid7(), now=now)
        with pytest.raises(ConversationLocked):
            conversations.occupy(ident, generation_id=uuid7(), now=now + timedelta(seconds=59))
        conversations.occupy(ident, generation_id=uuid7(), now=now + timedelta(seconds=61))


def test_a_deleted_response_stays_in_its_conversation(acme: Member, admit: Admit) -> None:
    ident = begin(acme)
    row = admit(acme, input="question", conversation=ident)
    row.end("answer")
    assert acme.client.delete(f"/v1/responses/{row.public}").status_code == 200
    assert texts(acme, ident) == ["question", "answer"]


def test_answers_from_documents_are_seen_by_their_groups_only(acme: Member, admit: Admit) -> None:
    ident = begin(acme, "hello")
    row = admit(acme, input="What does the board know?", conversation=ident, tools=SEARCH, groups=("board",))
    row.end("A secret.")
    stranger = admit(acme, sight=Sight(frozenset({"staff"})), input="And?", conversation=ident)
    assert [message["content"] for message in stranger.chat(groups=frozenset({"staff"}))] == ["hello", "And?"]
    with acting_for(acme.tenant.id), tenant_scope():
        rows = conversations.visible(ident, sight=Sight(frozenset()), now=datetime.now(UTC))
        assert [row.position for row in rows] == [0]


def test_a_foreign_conversation_is_missing(acme: Member, globex: Member, admit: Admit) -> None:
    ident = begin(acme, "one")
    for name in (ident, "conv_" + "0" * 32, "x"):
        with pytest.raises(NotFound) as refused:
            admit(globex, conversation=name)
        assert refused.value.message == f"Conversation with id '{name}' not found."


def test_items_go_when_the_tenants_retention_ends(acme: Member) -> None:
    ident = begin(acme, "one", "two")
    with acting_for(acme.tenant.id), tenant_scope():
        ConversationItem.objects.filter(position=0).update(contents_until=datetime.now(UTC) - timedelta(seconds=1))
    assert texts(acme, ident) == ["two"]  # at once, before the sweep
    assert conversations.erase_expired() == 1 and conversations.erase_expired() == 0
    with acting_for(acme.tenant.id), tenant_scope():
        assert list(ConversationItem.objects.values_list("position", flat=True)) == [1]


def test_without_retention_nothing_can_be_kept_in_one(acme: Member, admit: Admit) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        Tenant.objects.filter(id=acme.tenant.id).update(content_retention_days=0)
    said = [{"role": "user", "content": "x"}]
    refused = acme.client.post("/v1/conversations", {"items": said}, format="json")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "items")
    ident = begin(acme)
    with pytest.raises(InvalidRequest, match="keeps no contents"):
        admit(acme, conversation=ident)
    with acting_for(acme.tenant.id), tenant_scope():
        assert Conversation.objects.get().busy_with is None and not Generation.objects.exists()
