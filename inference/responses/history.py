"""What came before a response: the chain of `previous_response_id`, a conversation, items that its input refers to.

Read in one short scope each time, by admission and again by the worker; nothing of it is copied into the new row. What
the caller may not see (another tenant's, or an answer from documents of groups that it lacks) is missing, alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from tenants.errors import AtriumError, NotFound
from tenants.ids import parse_public_id
from tenants.scope import tenant_scope

from ..models import ConversationItem, Generation
from .items import OUTPUT, Item, no_item, parse_item_id, place_of, response_range, shown
from .objects import PREFIX
from .requests import ResponseRequest

RESPONSE = "response"
#: Turns that a chain is followed back; older ones are as if they were left out.
MAX_TURNS = 1_000
#: Far above what any context window holds: reading ends there, and trimming leaves the rest out.
_MAX_BYTES = 16 * 1024 * 1024
_CHAIN = """
WITH RECURSIVE chain AS (
    SELECT g.id, g.state, g.request, g.answer, g.terms, 1 AS turns,
           coalesce(octet_length(g.request::text), 0) + coalesce(octet_length(g.answer::text), 0) AS size
      FROM inference_generation g WHERE g.tenant_id = %(tenant)s AND g.id = %(id)s AND g.kind = 'response'
    UNION ALL
    SELECT g.id, g.state, g.request, g.answer, g.terms, c.turns + 1,
           c.size + coalesce(octet_length(g.request::text), 0) + coalesce(octet_length(g.answer::text), 0)
      FROM chain c JOIN inference_generation g
        ON g.tenant_id = %(tenant)s AND g.id = substr(c.request ->> 'previous_response_id', 6)::uuid
     WHERE c.turns < %(turns)s AND c.size < %(bytes)s)
SELECT id, state, request, answer, terms FROM chain ORDER BY turns DESC"""


class ContentsErased(AtriumError):
    """What came before was erased: the tenant's content retention ended, or somebody deleted it."""

    status = 400
    type = "invalid_request_error"
    code = "previous_response_erased"


class NotEndedYet(AtriumError):
    """What came before is still being made."""

    status = 409
    type = "invalid_request_error"
    code = "previous_response_not_ended"


@dataclass(frozen=True)
class Sight:
    """What a caller may see of answers from documents: those of its groups; None: all."""

    groups: frozenset[str] | None

    def reaches(self, groups: Sequence[str]) -> bool:
        """Whether the caller is in all of `groups`."""
        return self.groups is None or self.groups.issuperset(groups)


def no_response(text: str, *, param: str | None = None) -> NotFound:
    """What a missing response answers, another tenant's, and one that is not stored."""
    return NotFound(f"Response with id '{text}' not found.", param=param)


def groups_of(request: dict[str, Any] | None, terms: dict[str, Any]) -> list[str]:
    """The groups by which a response was made, where it answers from documents."""
    searched = any(tool.get("type") == "file_search" for tool in (request or {}).get("tools") or ())
    return list(terms.get("groups") or ()) if searched else []


def before(request: ResponseRequest, *, sight: Sight, until: int | None) -> list[Item]:
    """The items that came before the input.

    Args:
        until: the place in the conversation before which it is read.

    Raises:
        NotFound: no such response for this caller.
        ContentsErased, NotEndedYet: it has no contents any more, or not yet.
    """
    with tenant_scope() as tenant_id:
        if request.previous_response_id is not None:
            return list(_chain(tenant_id, request.previous_response_id, sight))
        if request.conversation_id is not None and until is not None:
            return _of_conversation(request.conversation_id, sight, until)
    return []


def _chain(tenant_id: UUID, previous: str, sight: Sight) -> Iterator[Item]:
    ident = parse_public_id(PREFIX, previous)
    parameters = {"tenant": tenant_id, "id": ident, "turns": MAX_TURNS, "bytes": _MAX_BYTES}
    rows: list[tuple[Any, ...]] = []
    if ident is not None:
        with connection.cursor() as cursor:
            cursor.execute(_CHAIN, parameters)
            rows = cursor.fetchall()
    turns = [_Turn(ident, state, *map(_decoded, columns)) for ident, state, *columns in rows]
    if not turns or not all(turn.is_seen(sight) for turn in turns):
        raise no_response(previous, param="previous_response_id")
    for turn in turns:
        yield from turn.items(sight)


def _decoded(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


@dataclass(frozen=True)
class _Turn:
    """A response of the chain."""

    id: UUID
    state: str
    request: dict[str, Any] | None
    answer: dict[str, Any] | None
    terms: dict[str, Any]

    def is_seen(self, sight: Sight) -> bool:
        return self.request is None or sight.reaches(groups_of(self.request, self.terms))

    def items(self, sight: Sight) -> Iterator[Item]:
        if self.state in (Generation.State.QUEUED, Generation.State.RUNNING):
            raise NotEndedYet(
                "The previous response has not ended. Try again when it has.",
                param="previous_response_id",
                headers={"retry-after": "1"},
            )
        if self.request is None:
            raise ContentsErased(
                "The contents of a response that came before are gone: it was not stored, was deleted, or its content "
                "retention ended. Send what is needed of it as 'input'.",
                param="previous_response_id",
            )
        # What its input referred to may have gone since.
        yield from resolved(self.request["input"], sight=sight, lenient=True)
        yield from (self.answer or {}).get("output", ())


def _of_conversation(conversation: str, sight: Sight, until: int) -> list[Item]:
    ident = parse_public_id("conv_", conversation)
    assert ident is not None  # admission found it
    rows = ConversationItem.objects.filter(conversation_id=ident, position__lt=until).order_by("position")
    return [row.item for row in rows if sight.reaches(row.groups)]


def resolved(items: list[Item], *, sight: Sight, lenient: bool = False) -> list[Item]:
    """Items with each reference replaced by what it refers to; inside a scope.

    Args:
        lenient: a reference to what is not there is left out.

    Raises:
        NotFound: a reference to an item that is not there for this caller.
    """
    found = []
    for item in items:
        if item["type"] != "item_reference":
            found.append(item)
        elif (referred := _referred(item["id"], sight)) is not None:
            found.append(referred)
        elif not lenient:
            raise no_item(item["id"])
    return found


def _referred(text: str, sight: Sight) -> Item | None:
    ident = parse_item_id(text)
    if ident is None:
        return None
    row = ConversationItem.objects.filter(id=ident).first()
    if row is not None:
        return shown(row.item, ident) if sight.reaches(row.groups) else None
    response = Generation.objects.filter(kind=RESPONSE, id__range=response_range(ident)).first()
    found = item_at(response, place_of(ident)) if response else None
    if response is None or found is None or not sight.reaches(groups_of(response.request, response.terms)):
        return None
    return shown(found, ident)


def item_at(response: Generation, place: int) -> Item | None:
    """The item at a place of a response: its input from 0, its output from `OUTPUT`; None where there is none."""
    if response.request is None or response.request.get("store") is False:
        return None
    answer = (response.answer or {}).get("output", ())
    items, position = (response.request["input"], place) if place < OUTPUT else (answer, place - OUTPUT)
    found = items[position] if position < len(items) else None
    return None if found is None or found["type"] == "item_reference" else found
