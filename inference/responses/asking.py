"""From a body to an offer, and from a stored request back to the chat request that its worker runs.

The row keeps the request with a `context`: how far back the conversation was read, how many of the oldest turns were
left out, and whether the caller sees every document's answers. By these the worker comes to the same messages.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from tenants.errors import AtriumError, InvalidRequest
from tenants.scope import acting_for, tenant_scope

from ..admission import Asker, ContextLengthExceeded, Offer, offer_for
from ..catalogue import Terms
from ..metering import count_tokens
from ..prompting import PASSAGE_BYTES
from ..requests import ChatRequest, Lenient
from . import conversations
from .chat_form import Message, chat_request, messages_of
from .history import Sight, before, resolved
from .kept import queued
from .requests import ResponseRequest, understood
from .trimming import left_out, newest_turn, without_oldest

#: An answer shorter than this is no use.
_LEAST_ANSWER = 16
_BYTES_A_TOKEN = 4
#: What chat calls a parameter, and what responses do.
_SPELLINGS = (
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("messages", "input"),
    ("max_tokens", "max_output_tokens"),
)


class Context(Lenient):
    """What the row remembers of what came before."""

    until: int | None = None
    dropped: int = 0
    sees_all: bool = False


class StoredRequest(ResponseRequest):
    """A response's row: the request and its context."""

    context: Context = Context()


@dataclass(frozen=True)
class Asked:
    """A request in both forms."""

    request: ResponseRequest
    chat: ChatRequest


def offer_response(body: bytes, terms: Terms, asker: Asker) -> Offer:
    """The offer for a response; a conversation that it names is occupied for the generation.

    Raises:
        InvalidRequest, ContextLengthExceeded: naming the parameter at fault.
        NotFound, ContentsErased, NotEndedYet, ConversationLocked: what came before.
    """
    request = understood(body)
    if request.background and asker.caller.retention_days == 0:
        raise InvalidRequest(
            "This tenant keeps no contents (its content retention is 0 days), so an answer made in the background could "
            "not be fetched.",
            param="background",
        )
    if not (request.has_history or request.names_items):
        # Nothing to be read: no thread, no transaction.
        return _at_once(request, _offer(request, terms, Context()), asker)
    sight = Sight(asker.caller.sight)
    with acting_for(asker.caller.tenant_id), _occupied(request, asker) as until:
        offer = _offer(request, terms, Context(until=until, sees_all=sight.groups is None), sight)
    conversation = request.conversation_id
    if conversation is not None:
        leave = partial(conversations.leave, asker.caller.tenant_id, conversation, generation_id=asker.generation_id)
        offer = replace(offer, take_back=leave)
    return _at_once(request, offer, asker)


def _at_once(request: ResponseRequest, offer: Offer, asker: Asker) -> Offer:
    """What is made in the background is answered as queued, unless its client wants to listen."""
    if not request.background or request.stream:
        return offer
    return replace(offer, at_once=orjson.dumps(queued(request, id=asker.generation_id, now=asker.now)))


def needs_reading(body: dict[str, Any]) -> bool:
    """Whether the offer for a decoded body reads the database, so that it belongs into a thread."""
    if body.get("previous_response_id") is not None or body.get("conversation") is not None:
        return True
    items = body.get("input")
    return isinstance(items, list) and any(_may_refer(item) for item in items if isinstance(item, dict))


def _may_refer(item: dict[str, Any]) -> bool:
    """Whether an item is a reference: it says so, or says neither what it is nor who speaks."""
    kind = item.get("type")
    return kind == "item_reference" or (not kind and "role" not in item)


@contextmanager
def _occupied(request: ResponseRequest, asker: Asker) -> Iterator[int | None]:
    conversation = request.conversation_id
    if conversation is None:
        yield None
        return
    until = conversations.occupy(conversation, generation_id=asker.generation_id, now=asker.now)
    try:
        yield until
    except BaseException:
        conversations.leave(asker.caller.tenant_id, conversation, generation_id=asker.generation_id)
        raise


def _offer(request: ResponseRequest, terms: Terms, context: Context, sight: Sight | None = None) -> Offer:
    _check_limit(request, terms)
    messages, past = _messages(request, context, sight)
    keep_from = _keep_from(request, messages, past)
    dropped = _left_out(request, terms, messages, keep_from)
    kept = without_oldest(messages, keep_from=keep_from, dropped=dropped)
    offer = _named_as_sent(lambda: offer_for(chat_request(request, kept), terms))
    context = context.model_copy(update={"dropped": dropped})
    return replace(
        offer,
        request=_stored(request, context),
        # A response is an object of its own, with an id: it is made anew, never taken from the cache.
        cache=None,
        keeps=request.is_stored,
        background=bool(request.background),
    )


def _named_as_sent(offer: Callable[[], Offer]) -> Offer:
    """The offer; what is refused is named as the client spelled it, and not as chat does."""
    try:
        return offer()
    except AtriumError as error:
        given = error.param or ""
        for inside, outside in _SPELLINGS:
            if given.startswith(inside):
                error.param = outside + given.removeprefix(inside)
                break
        raise


def chat_of(request: "StoredRequest", *, groups: frozenset[str]) -> Asked:
    """A stored request in both forms; what came before is read again, in a scope of its own.

    Args:
        groups: the caller's at admission.

    Raises:
        ContentsErased, NotFound: what came before has gone since.
    """
    context = request.context
    reads = request.has_history or request.names_items
    sight = Sight(None if context.sees_all else groups) if reads else None
    messages, past = _messages(request, context, sight)
    kept = without_oldest(messages, keep_from=_keep_from(request, messages, past), dropped=context.dropped)
    return Asked(request, chat_request(request, kept))


def count_input(body: Any, terms: Terms, *, sight: Sight) -> int:
    """The tokens that a request's input has for a model, estimated, with all that comes before it."""
    request = understood(body)
    messages, _ = _messages(request, _as_of_now(request), sight)
    chat = chat_request(request, messages)
    texts = [str(message.model_dump(exclude_none=True)) for message in chat.messages]
    texts += [str(tool) for tool in chat.tools or ()]
    return sum(count_tokens(text) for text in texts)


def would_offer(body: Any, terms: Terms, *, sight: Sight) -> Offer:
    """`offer_response` for a request that is not made: a conversation that it names goes on undisturbed."""
    request = understood(body)
    return _offer(request, terms, _as_of_now(request), sight)


def _as_of_now(request: ResponseRequest) -> Context:
    if request.conversation_id is None:
        return Context()
    return Context(until=conversations.get(request.conversation_id).next_position)


def _messages(request: ResponseRequest, context: Context, sight: Sight | None) -> tuple[list[Message], int]:
    """All messages, and how many of them came before the input."""
    if sight is None:
        return messages_of([], request.items)
    history = before(request, sight=sight, until=context.until)
    with tenant_scope():
        given = resolved(request.items, sight=sight) if request.names_items else request.items
    return messages_of(history, given)


def _keep_from(request: ResponseRequest, messages: list[Message], past: int) -> int:
    return newest_turn(messages, before=past) if request.truncation == "auto" else past


def _left_out(request: ResponseRequest, terms: Terms, messages: list[Message], keep_from: int) -> int:
    """How many of the oldest blocks do not fit, by what the request wants done about them."""
    may_shorten = request.truncation == "auto" or (request.truncation is None and request.has_history)
    fits = partial(left_out, messages, keep_from=keep_from, count=count_tokens)
    wanted = request.max_output_tokens or min(terms.max_output_tokens, terms.context_window // 4)
    dropped = fits(room=_room(request, terms, wanted)) if may_shorten else None
    if dropped is None:
        # Without a limit of the client's a shorter answer is better than none.
        dropped = fits(room=_room(request, terms, request.max_output_tokens or _LEAST_ANSWER))
    if dropped is None or (dropped and not may_shorten):
        raise ContextLengthExceeded(
            f"The input, with what came before it, does not fit the context window of '{terms.alias}' "
            f"({terms.context_window} tokens). Shorten it, or send 'truncation': 'auto' to leave the oldest turns out.",
            param="input",
        )
    return dropped


def _room(request: ResponseRequest, terms: Terms, answer: int) -> int:
    """The tokens that messages may have, beside instructions, tools, passages and the answer."""
    beside = [str(request.instructions or ""), *(str(tool) for tool in request.tools or ()), str(request.text or "")]
    fixed = sum(count_tokens(text) for text in beside)
    if request.file_search() is not None:
        fixed += min(PASSAGE_BYTES // _BYTES_A_TOKEN, terms.context_window // 2)
    return terms.context_window - fixed - answer


def _check_limit(request: ResponseRequest, terms: Terms) -> None:
    asked = request.max_output_tokens
    if asked is not None and asked > terms.max_output_tokens:
        raise InvalidRequest(
            f"'max_output_tokens' is too large: {asked}. '{terms.alias}' answers with at most {terms.max_output_tokens} "
            "tokens.",
            param="max_output_tokens",
        )


def _stored(request: ResponseRequest, context: Context) -> bytes:
    body = request.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    return orjson.dumps({**body, "context": context.model_dump(exclude_none=True, exclude_defaults=True)})
