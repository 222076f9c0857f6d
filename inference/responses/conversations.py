"""Conversations: items over many responses, in their order. One response at a time is made in a conversation.

Admission occupies it for a generation; who touches it next brings in what came of that generation, from its row and
under the ids it has there, so that a worker's or a web process's death neither loses items nor adds them twice. A
generation that failed or was cancelled adds nothing. Items go when the tenant's content retention ends for them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import parse_public_id, public_id, uuid7
from tenants.models import Tenant
from tenants.scope import acting_for, current_tenant, tenant_scope

from ..models import Conversation, ConversationItem, Generation
from .history import Sight, groups_of, resolved
from .items import OUTPUT, Item, item_id, no_item, parse_item_id

PREFIX = "conv_"
#: Items that one request may add, as OpenAI has it.
MAX_ADDED = 20
#: A conversation that was occupied for a generation which never came about is free again after this.
_GRACE = timedelta(seconds=60)


class ConversationLocked(AtriumError):
    """A response is being made in the conversation."""

    status = 409
    type = "invalid_request_error"
    code = "conversation_locked"

    def __init__(self) -> None:
        super().__init__(
            "Another response is being made in this conversation. Try again when it has ended.",
            param="conversation",
            headers={"retry-after": "1"},
        )


def no_conversation(text: str, *, param: str | None = None) -> NotFound:
    """What a missing conversation answers, and another tenant's."""
    return NotFound(f"Conversation with id '{text}' not found.", param=param)


def create(*, items: Sequence[Item], metadata: dict[str, str], by: Actor, now: datetime) -> Conversation:
    """A new conversation that begins with `items`.

    Raises:
        InvalidRequest: items, where the tenant keeps no contents.
        NotFound: a reference to an item that is not there.
    """
    with tenant_scope() as tenant_id:
        conversation = Conversation.objects.create(tenant_id=tenant_id, metadata=metadata, created_at=now)
        _append(conversation, [(uuid7(), item) for item in _own(items)], until=_retention(items, now))
        record(by=by, action="conversation.created", target=conversation)
    return conversation


def get(ident: str) -> Conversation:
    """A conversation.

    Raises:
        NotFound: none for this tenant.
    """
    with tenant_scope():
        return _found(ident)


def change(ident: str, *, metadata: dict[str, str], by: Actor) -> Conversation:
    """Replace its metadata; raises like `get`."""
    with tenant_scope():
        conversation = _found(ident, lock=True)
        conversation.metadata = metadata
        conversation.save(update_fields=["metadata"])
        record(by=by, action="conversation.changed", target=conversation, changes={"metadata": sorted(metadata)})
    return conversation


def delete(ident: str, *, by: Actor, now: datetime) -> None:
    """Delete it and its items; what stands in responses stays there.

    Raises:
        NotFound: none for this tenant.
        ConversationLocked: a response is being made in it.
    """
    with tenant_scope():
        conversation = _free(ident, now)
        record(by=by, action="conversation.deleted", target=conversation)
        conversation.delete()


def add(ident: str, *, items: Sequence[Item], sight: Sight, now: datetime) -> list[ConversationItem]:
    """Append items; returns them. Raises like `create` and `delete`."""
    with tenant_scope():
        conversation = _free(ident, now)
        wanted = [(uuid7(), item) for item in _own(resolved(list(items), sight=sight))]
        return _append(conversation, wanted, until=_retention(items, now))


def visible(ident: str, *, sight: Sight, now: datetime) -> Any:
    """The items that the caller may see, as rows to be ordered and cut, inside a scope. Raises like `get`."""
    conversation = _found(ident, lock=True)
    _bring_in(conversation, now)
    rows = ConversationItem.objects.filter(conversation_id=conversation.id, contents_until__gt=now)
    return rows if sight.groups is None else rows.filter(groups__contained_by=sorted(sight.groups))


def get_item(ident: str, item: str, *, sight: Sight, now: datetime) -> ConversationItem:
    """One of its items.

    Raises:
        NotFound: no such conversation, or no such item in it.
    """
    with tenant_scope():
        return _one(visible(ident, sight=sight, now=now), item)


def remove_item(ident: str, item: str, *, sight: Sight, now: datetime) -> Conversation:
    """Take an item out; raises like `get_item` and `delete`."""
    with tenant_scope():
        conversation = _free(ident, now)
        _one(visible(ident, sight=sight, now=now), item).delete()
    return conversation


def occupy(ident: str, *, generation_id: UUID, now: datetime) -> int:
    """Make a conversation busy with a generation that is about to be admitted; returns its next place.

    Raises:
        NotFound: none for this tenant.
        ConversationLocked: a response is being made in it.
        InvalidRequest: the tenant keeps no contents.
    """
    with tenant_scope():
        conversation = _free(ident, now)
        if _retention_days() == 0:
            raise _keeps_nothing("conversation")
        conversation.busy_with, conversation.busy_since = generation_id, now
        conversation.save(update_fields=["busy_with", "busy_since"])
        return conversation.next_position


def leave(tenant_id: UUID, ident: str, *, generation_id: UUID) -> None:
    """The generation was not admitted: free the conversation again."""
    conversation_id = parse_public_id(PREFIX, ident)
    assert conversation_id is not None  # it was occupied
    with acting_for(tenant_id), tenant_scope():
        if Generation.objects.filter(id=generation_id).exists():
            return  # it was admitted after all, though nobody heard of it
        rows = Conversation.objects.filter(id=conversation_id, busy_with=generation_id)
        rows.update(busy_with=None, busy_since=None)


def bring_in_of(generation: Generation, *, now: datetime) -> None:
    """Bring what came of a response into its conversation, before the response itself is erased; inside a scope."""
    given = (generation.request or {}).get("conversation")
    ident = parse_public_id(PREFIX, str(given["id"] if isinstance(given, dict) else given))
    if ident is None:
        return
    rows = Conversation.objects.select_for_update().filter(id=ident, busy_with=generation.id)
    conversation = rows.first()
    if conversation is not None:
        _bring_in(conversation, now)


def erase_expired(*, limit: int = 500) -> int:
    """Delete items whose retention ended, over all tenants; returns how many."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM expired_conversation_items(%s)", [limit])
        found = cursor.fetchall()
    for tenant_id, ident in found:
        with acting_for(tenant_id), tenant_scope():
            ConversationItem.objects.filter(id=ident).delete()
    return len(found)


def _one(rows: Any, text: str) -> ConversationItem:
    ident = parse_item_id(text)
    row = rows.filter(id=ident).first() if ident else None
    if row is None:
        raise no_item(text, param="item_id")
    return row


def _found(ident: str, *, lock: bool = False) -> Conversation:
    rows = Conversation.objects.select_for_update() if lock else Conversation.objects.all()
    conversation_id = parse_public_id(PREFIX, ident)
    conversation = rows.filter(id=conversation_id).first() if conversation_id else None
    if conversation is None:
        raise no_conversation(ident)
    return conversation


def _free(ident: str, now: datetime) -> Conversation:
    """The conversation, locked by this transaction and busy with nothing."""
    conversation = _found(ident, lock=True)
    _bring_in(conversation, now)
    if conversation.busy_with is not None:
        raise ConversationLocked
    return conversation


def _bring_in(conversation: Conversation, now: datetime) -> None:
    """What came of the generation it was busy with becomes its items, if that one has ended."""
    if conversation.busy_with is None:
        return
    generation = Generation.objects.filter(id=conversation.busy_with).first()
    if generation is None:
        assert conversation.busy_since is not None
        if now - conversation.busy_since < _GRACE:
            return
    elif generation.state in (Generation.State.QUEUED, Generation.State.RUNNING):
        return
    elif generation.state == Generation.State.COMPLETED and generation.request and generation.contents_until:
        groups = groups_of(generation.request, generation.terms)
        _append(conversation, _items_of(generation), until=generation.contents_until, groups=groups)
    conversation.busy_with = conversation.busy_since = None
    conversation.save(update_fields=["busy_with", "busy_since", "next_position"])


def _items_of(generation: Generation) -> list[tuple[UUID, Item]]:
    """(id, item) of a response's input and output."""
    given = enumerate((generation.request or {}).get("input", ()))
    made = enumerate((generation.answer or {}).get("output", ()), start=OUTPUT)
    return [
        (item_id(generation.id, place), item) for place, item in (*given, *made) if item["type"] != "item_reference"
    ]


def _append(
    conversation: Conversation, items: list[tuple[UUID, Item]], *, until: datetime, groups: Sequence[str] = ()
) -> list[ConversationItem]:
    first = conversation.next_position
    rows = ConversationItem.objects.bulk_create(
        ConversationItem(
            id=ident,
            tenant_id=conversation.tenant_id,
            conversation_id=conversation.id,
            position=first + place,
            item={name: value for name, value in item.items() if name != "id"},
            groups=list(groups),
            contents_until=until,
        )
        for place, (ident, item) in enumerate(items)
    )
    conversation.next_position = first + len(rows)
    conversation.save(update_fields=["next_position"])
    return rows


def _own(items: Sequence[Item]) -> list[Item]:
    """Items to be kept here; a reference would be to nothing that is."""
    if any(item["type"] == "item_reference" for item in items):
        raise InvalidRequest("A new conversation cannot refer to items that stand elsewhere.", param="items")
    return list(items)


def _retention(items: Sequence[Item], now: datetime) -> datetime:
    days = _retention_days()
    if items and days == 0:
        raise _keeps_nothing("items")
    return now + timedelta(days=days)


def _retention_days() -> int:
    return Tenant.objects.values_list("content_retention_days", flat=True).get(id=current_tenant())


def _keeps_nothing(param: str) -> InvalidRequest:
    return InvalidRequest(
        "This tenant keeps no contents (its content retention is 0 days), so nothing can be kept in a conversation.",
        param=param,
    )


def public(conversation: Conversation) -> str:
    """Its public id."""
    return public_id(PREFIX, conversation.id)
