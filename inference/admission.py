"""What a call may cost at most, from its body and the terms of its grant: the hold that admission takes.

The worst case: every byte of the prompt a token, passages at their cap, every allowed output token of every choice, the
repair of an answer that must match a schema, at the dearest price of the models that may answer. It is one hold with
parts, one round trip: a part that is known beforehand needs no reservation of its own. What a call turns out to need
later takes a child reservation (`billing.reservations.reserve_child`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.models import Meter
from billing.prices.services import SEARCH
from tenants.api_keys import Caller
from tenants.errors import AtriumError, InvalidRequest

from .granted_requests import as_granted, that_fit
from .metering import count_tokens
from .prompting import message_bytes, passage_bound, question_of
from .requests import ChatRequest, EmbeddingsRequest, parse
from .response_cache import Wish, wish_for
from .structured_output import REPAIR_BYTES, check_response_format, may_be_repaired
from .terms import ChainModel, Terms

#: An answer shorter than this is no use; a budget that cannot pay for it refuses the call.
_MIN_USEFUL_TOKENS = 16
#: What is taken from the tokens-per-minute limits before the answer's length is known, where the client set no limit.
EXPECTED_OUTPUT_TOKENS = 512


class ContextLengthExceeded(AtriumError):
    """The prompt and the answer asked for do not fit the model's context window."""

    status = 400
    type = "invalid_request_error"
    code = "context_length_exceeded"


@dataclass(frozen=True)
class Offer:
    """A validated request and what to reserve for it. Tokens are counts, holds are money in the tenant's currency.

    `hold_min` is what the call cannot do without; `prompt_hold` the part of it that does not grow with the answer;
    `output_price` what each token of the answer's limit adds, in all choices and their repairs.
    """

    request: bytes
    stream: bool
    end_user: str
    estimated_tokens: int
    output_limit: int
    prompt_hold: Decimal
    output_price: Decimal
    hold_min: Decimal
    hold: Decimal
    #: Of the month's tokens, where they are limited: at least, as `hold_min`, and at most, as `hold`.
    tokens_min: int = 0
    tokens: int = 0
    cache: Wish | None = None
    chain: tuple[ChainModel, ...] = ()
    timeout: float | None = None
    #: Whether the contents may be kept as long as the tenant keeps contents; else they go when the call is settled.
    keeps: bool = True
    #: It is made whether or not its client waits.
    background: bool = False
    #: What is answered before it is made, in the background; empty: the client waits.
    at_once: bytes = b""
    #: What the client says of the call: what the tenant activated of it becomes tags.
    metadata: Mapping[str, str] | None = None
    #: Gives back what the offer took, for a call that is not admitted.
    take_back: Callable[[], None] | None = None


@dataclass(frozen=True)
class Asker:
    """Who asks, under which id the call will be admitted, and when."""

    caller: Caller
    generation_id: UUID
    now: datetime


def offer_chat(body: bytes, terms: Terms) -> Offer:
    """The offer for a chat completion.

    Raises:
        InvalidRequest: naming the parameter at fault.
        ContextLengthExceeded: too long a prompt.
    """
    return offer_for(parse(ChatRequest, body), terms)


def offer_for(request: ChatRequest, terms: Terms) -> Offer:
    """The offer for a request in the canonical form, however it came; raises like `offer_chat`."""
    check_response_format(request.response_format)
    request, terms = as_granted(request, terms)
    prompt_bytes = message_bytes(request)
    choices = request.n or 1
    limit = _output_limit(request, terms)
    prompt_tokens = _check_context(request, prompt_bytes, limit if request.output_limit else _MIN_USEFUL_TOKENS, terms)
    terms = that_fit(terms, prompt_tokens=prompt_tokens, output_tokens=request.output_limit or _MIN_USEFUL_TOKENS)
    search_bound = passage_bound(request)
    # Which tokens the provider finds in its prompt cache, and how many the model thinks with, is known afterwards.
    per_input = terms.most(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS)
    prompt_hold = (prompt_bytes + search_bound) * per_input
    most_prompt, most_output = prompt_bytes + search_bound, choices
    if search_bound:
        embedders = [price for (_, meter), price in terms.prices.items() if meter == Meter.EMBEDDING_TOKENS]
        asked = len(question_of(request).encode()) + 2
        prompt_hold += max((price.cost(asked) for price in embedders), default=Decimal(0))
        most_prompt += asked
        if SEARCH in terms.prices:
            prompt_hold += terms.prices[SEARCH].each
    per_output = terms.most(Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS) * choices
    if may_be_repaired(request):
        # Each choice may be made again from the prompt and the answer that was wrong.
        again = (prompt_bytes + search_bound + REPAIR_BYTES) * choices
        prompt_hold += again * per_input
        per_output = 2 * per_output + per_input * choices
        most_prompt, most_output = most_prompt + again, 3 * choices
    wish = wish_for(request, terms.caching)
    if wish is not None:
        prompt_hold = max(prompt_hold, terms.price(Meter.CACHE_HITS))
    hold = prompt_hold + limit * per_output
    # A limit the client set is what it wants, unless the plan says otherwise; without one, a budget that is nearly spent
    # shortens the answer.
    least = limit if request.output_limit and not terms.plan.clamps_output else min(limit, _MIN_USEFUL_TOKENS)
    expected = request.output_limit or min(limit, EXPECTED_OUTPUT_TOKENS)
    return Offer(
        request=request.model_dump_json(exclude_none=True, exclude_defaults=True).encode(),
        stream=request.stream,
        end_user=request.end_user,
        estimated_tokens=prompt_tokens + expected * choices,
        output_limit=limit,
        prompt_hold=prompt_hold,
        output_price=per_output,
        hold_min=prompt_hold + least * per_output,
        hold=hold,
        # Where output costs nothing the hold does not say how much of it there may be: all, or the call is refused.
        tokens_min=most_prompt + (least if per_output else limit) * most_output,
        tokens=most_prompt + limit * most_output,
        cache=wish,
        chain=terms.chain,
        timeout=request.timeout,
        metadata=request.metadata,
    )


def _output_limit(request: ChatRequest, terms: Terms) -> int:
    asked = request.output_limit
    if asked is not None and asked > terms.max_output_tokens:
        param = "max_completion_tokens" if request.max_completion_tokens else "max_tokens"
        raise InvalidRequest(
            f"'{param}' is too large: {asked}. '{terms.alias}' answers with at most {terms.max_output_tokens} tokens.",
            param=param,
        )
    return asked or min(terms.rules.default_max_tokens or terms.max_output_tokens, terms.max_output_tokens)


def _check_context(request: ChatRequest, prompt_bytes: int, output: int, terms: Terms) -> int:
    """The prompt's tokens, estimated. A prompt with fewer bytes than the window has tokens fits without counting."""
    if prompt_bytes + output <= terms.context_window:
        return prompt_bytes // 4 + 1
    tokens = sum(count_tokens(message.text()) + 4 for message in request.messages)
    if tokens + output > terms.context_window:
        raise ContextLengthExceeded(
            f"The context window of '{terms.alias}' is {terms.context_window} tokens; your messages have about {tokens} "
            f"and the answer needs {output}. Shorten the messages or the answer.",
            param="messages",
        )
    return tokens


def offer_embeddings(body: bytes, terms: Terms) -> Offer:
    """The offer for embeddings.

    Raises:
        InvalidRequest: naming the parameter at fault.
    """
    request = parse(EmbeddingsRequest, body)
    passages = request.passages()
    # A text has no more tokens than bytes, and two around it; of a token array they are known.
    most = sum(len(passage.encode()) + 2 if isinstance(passage, str) else len(passage) for passage in passages)
    expected = most // 4 + 1 if isinstance(passages[0], str) else most
    hold = most * terms.price(Meter.EMBEDDING_TOKENS)
    return Offer(
        request=request.model_dump_json(exclude_none=True).encode(),
        stream=False,
        end_user=request.end_user,
        estimated_tokens=expected,
        output_limit=0,
        prompt_hold=hold,
        output_price=Decimal(0),
        hold_min=hold,
        hold=hold,
        tokens_min=most,
        tokens=most,
        chain=terms.chain,
        metadata=request.metadata,
    )
