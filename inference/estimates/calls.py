"""Estimates of calls: a body of chat completions, responses or embeddings, on each model that the key may use."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from billing.models import Meter
from billing.prices import UnitPrice, price_of
from billing.prices.months import this_month
from billing.prices.services import SEARCH
from tenants.api_keys import Caller
from tenants.errors import AtriumError, InvalidRequest

from .. import catalogue
from ..admission import EXPECTED_OUTPUT_TOKENS, Offer, offer_embeddings, offer_for
from ..metering import count_tokens
from ..models import Model
from ..prompting import PASSAGE_BYTES, question_of
from ..requests import ChatRequest, EmbeddingsRequest, parse
from ..responses.asking import count_input, would_offer
from ..responses.history import Sight
from ..responses.requests import understood
from ..terms import Terms

_BYTES_A_TOKEN = 4
#: A message's frame: who speaks, where it ends.
_FRAME_TOKENS = 4
#: A passage of a document, as the default chunking cuts it.
_PASSAGE_TOKENS = 800


@dataclass(frozen=True)
class Estimate:
    """Of one model: money in the tenant's currency, `units` likely used by meter; or why it cannot answer."""

    model: str
    most: Decimal | None = None
    likely: Decimal | None = None
    units: Mapping[str, int] = field(default_factory=dict)
    error: AtriumError | None = None


@dataclass(frozen=True)
class Kind:
    """An endpoint whose bodies can be estimated. `check` raises what is wrong with a body whichever model answers;
    `units` are the likely (meter, quantity), by the model asked for unless the meter is embedding's."""

    model_kind: str
    check: Callable[[Any], object]
    offer: Callable[[Any, Terms, Sight], Offer]
    units: Callable[[Any, Terms, Offer, Sight], Iterator[tuple[str, int]]]


def estimate_call(*, url: str, body: dict[str, Any], caller: Caller, now: datetime) -> list[Estimate]:
    """What a call would cost on each granted model of its kind, by alias; `body` need not name one.

    Raises:
        InvalidRequest: an endpoint that is not estimated, or a body that no model could answer.
        NotFound: what it refers to.
    """
    kind = KINDS.get(url)
    if kind is None:
        raise InvalidRequest(f"Invalid 'url': one of {', '.join(KINDS)}.", param="url")
    _prefixed(lambda: kind.check({**body, "model": body.get("model") or "any"}))
    aliases = [row.alias for row in catalogue.granted_models(kind.model_kind, key_id=caller.key_id)]
    return [_estimate(kind, alias, body, caller, now) for alias in aliases]


def _prefixed(check: Callable[[], object]) -> None:
    """What is refused stands inside `body`."""
    try:
        check()
    except AtriumError as error:
        error.param = f"body.{error.param}" if error.param else "body"
        raise


def _estimate(kind: Kind, alias: str, body: dict[str, Any], caller: Caller, now: datetime) -> Estimate:
    asked, sight = {**body, "model": alias}, Sight(caller.sight)
    try:
        terms = catalogue.terms(alias=alias, kind=kind.model_kind, currency=caller.currency)
        offer = kind.offer(asked, terms, sight)
        units = [(meter, quantity) for meter, quantity in kind.units(asked, terms, offer, sight) if quantity]
    except AtriumError as error:
        return Estimate(alias, error=error)
    month = this_month(now)
    likely = sum((month.cost(_price(terms, meter), quantity) for meter, quantity in units), Decimal(0))
    return Estimate(alias, round(offer.hold, 12), min(likely, round(offer.hold, 12)), dict(units))


def _price(terms: Terms, meter: str) -> UnitPrice:
    """Of the model asked for; what retrieval embeds with, by the dearest of the granted models; of a search its own."""
    if meter == Meter.SEARCH_CALLS:
        return terms.prices[SEARCH]
    if (terms.model, meter) in terms.prices or meter != Meter.EMBEDDING_TOKENS:
        return price_of(terms.prices, terms.model, meter)
    return max((price for (_, name), price in terms.prices.items() if name == meter), key=lambda price: price.each)


def _chat_units(body: Any, terms: Terms, offer: Offer, sight: Sight) -> Iterator[tuple[str, int]]:
    request = parse(ChatRequest, body)
    tokens = sum(count_tokens(message.text()) + _FRAME_TOKENS for message in request.messages)
    tokens += sum(count_tokens(str(tool)) for tool in request.tools or ())
    yield from _text_units(tokens, request, offer, terms)


def _response_units(body: Any, terms: Terms, offer: Offer, sight: Sight) -> Iterator[tuple[str, int]]:
    request = understood(body)
    tokens = min(count_input(body, terms, sight=sight), terms.context_window)
    search = request.file_search()
    yield str(Meter.INPUT_TOKENS), tokens + (_passages(search.max_num_results) if search else 0)
    yield str(Meter.OUTPUT_TOKENS), request.max_output_tokens or min(offer.output_limit, EXPECTED_OUTPUT_TOKENS)
    if search:
        yield str(Meter.EMBEDDING_TOKENS), tokens
        yield str(Meter.SEARCH_CALLS), int(SEARCH in terms.prices)


def _text_units(tokens: int, request: ChatRequest, offer: Offer, terms: Terms) -> Iterator[tuple[str, int]]:
    search = request.file_search() if request.tools else None
    yield str(Meter.INPUT_TOKENS), tokens + (_passages(search.max_num_results) if search else 0)
    yield (
        str(Meter.OUTPUT_TOKENS),
        (request.n or 1) * (request.output_limit or min(offer.output_limit, EXPECTED_OUTPUT_TOKENS)),
    )
    if search:
        yield str(Meter.EMBEDDING_TOKENS), count_tokens(question_of(request))
        yield str(Meter.SEARCH_CALLS), int(SEARCH in terms.prices)


def _passages(results: int) -> int:
    """The tokens that retrieval likely adds to a prompt."""
    return min(results * _PASSAGE_TOKENS, PASSAGE_BYTES // _BYTES_A_TOKEN)


def _embeddings_units(body: Any, terms: Terms, offer: Offer, sight: Sight) -> Iterator[tuple[str, int]]:
    passages = parse(EmbeddingsRequest, body).passages()
    tokens = sum(count_tokens(passage) if isinstance(passage, str) else len(passage) for passage in passages)
    yield str(Meter.EMBEDDING_TOKENS), tokens


KINDS = {
    "/v1/chat/completions": Kind(
        str(Model.Kind.CHAT),
        lambda body: parse(ChatRequest, body),
        lambda body, terms, sight: offer_for(parse(ChatRequest, body), terms),
        _chat_units,
    ),
    "/v1/responses": Kind(
        str(Model.Kind.CHAT),
        understood,
        lambda body, terms, sight: would_offer(body, terms, sight=sight),
        _response_units,
    ),
    "/v1/embeddings": Kind(
        str(Model.Kind.EMBEDDING),
        lambda body: parse(EmbeddingsRequest, body).passages(),
        lambda body, terms, sight: offer_embeddings(orjson.dumps(body), terms),
        _embeddings_units,
    ),
}
