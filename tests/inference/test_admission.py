"""What a call may cost at most: holds worked out by hand, limits, the context window."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.budgets.quotas import Quotas
from billing.limits import Limits
from billing.models import Plan
from billing.prices import UnitPrice
from inference.admission import ContextLengthExceeded, offer_chat, offer_embeddings
from inference.calls import Taken
from inference.catalogue import Terms
from inference.endpoints import ENDPOINTS
from inference.gateway import admission_of
from inference.metering import count_tokens
from inference.prompting import PASSAGE_BYTES
from inference.requests import ChatRequest
from inference.terms import ChainModel
from tenants.api_keys import Caller
from tenants.errors import InvalidRequest
from tenants.ids import uuid7

#: A token in costs 0.0000025, one out 0.00001, one embedded 0.00000002 or 0.0000001.
PRICES = {
    ("m", "input_tokens"): "2.50",
    ("m", "output_tokens"): "10",
    ("small", "embedding_tokens"): "0.02",
    ("large", "embedding_tokens"): "0.10",
}
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}


def terms(model: str = "m", *, window: int = 4_000, most: int = 1_000) -> Terms:
    prices = {key: UnitPrice(uuid7(), *key, Decimal(amount), 1_000_000) for key, amount in PRICES.items()}
    return Terms("alias", model, "chat", window, most, None, prices, Plan(), Limits.of(Plan()))


def body(content: str = "hello", **members: Any) -> bytes:
    return json.dumps({"model": "alias", "messages": [{"role": "user", "content": content}], **members}).encode()


def test_a_hold_is_every_byte_of_the_prompt_and_every_allowed_token() -> None:
    offer = offer_chat(body(), terms())
    # Five bytes and eight for the message; 1,000 tokens out.
    assert offer.prompt_hold == 13 * Decimal("0.0000025")
    assert offer.hold == Decimal("0.0000325") + Decimal("0.01")
    # Without a limit of the client's, sixteen tokens are the least that is of use.
    assert offer.hold_min == Decimal("0.0000325") + Decimal("0.00016")
    # 13 // 4 + 1 tokens in, 512 expected out.
    assert (offer.output_limit, offer.estimated_tokens) == (1_000, 4 + 512)


def test_a_hold_is_taken_at_the_dearer_price_where_tokens_may_have_one_of_two() -> None:
    dear = {("m", "cached_input_tokens"): "3", ("m", "reasoning_tokens"): "20"}
    cheap = {("m", "cached_input_tokens"): "0.25", ("m", "reasoning_tokens"): "1"}
    for more, prompt_price, output_price in ((dear, "0.000003", "0.00002"), (cheap, "0.0000025", "0.00001")):
        prices = {key: UnitPrice(uuid7(), *key, Decimal(amount), 1_000_000) for key, amount in (PRICES | more).items()}
        offer = offer_chat(body(max_tokens=100), replace(terms(), prices=prices))
        assert (offer.prompt_hold, offer.hold) == (
            13 * Decimal(prompt_price),
            13 * Decimal(prompt_price) + 100 * Decimal(output_price),
        )


def test_a_limit_of_the_clients_is_held_in_full_for_every_choice() -> None:
    offer = offer_chat(body(max_tokens=100, n=3), terms())
    assert offer.hold == offer.hold_min == Decimal("0.0000325") + 3 * 100 * Decimal("0.00001")
    assert (offer.output_limit, offer.estimated_tokens) == (100, 4 + 300)


def test_a_plan_may_shorten_answers_instead_of_refusing_them() -> None:
    kind = replace(terms(), plan=Plan(clamps_output=True))
    offer = offer_chat(body(max_tokens=100, n=3), kind)
    assert offer.hold == Decimal("0.0000325") + 3 * 100 * Decimal("0.00001")
    assert offer.hold_min == Decimal("0.0000325") + 3 * 16 * Decimal("0.00001")
    assert (offer.tokens_min, offer.tokens, offer.output_limit) == (13 + 3 * 16, 13 + 3 * 100, 100)


def test_the_months_tokens_are_bounded_as_the_money_is() -> None:
    offer = offer_chat(body(max_tokens=100, n=3), terms())
    assert offer.tokens == offer.tokens_min == 13 + 3 * 100
    free = {key: replace(price, amount=Decimal(0)) for key, price in terms().prices.items()}
    # A hold of nothing does not say how short an answer must be.
    for plan in (Plan(), Plan(clamps_output=True)):
        offer = offer_chat(body(max_tokens=100), replace(terms(), prices=free, plan=plan))
        assert offer.tokens == offer.tokens_min == 13 + 100


def test_a_call_carries_its_tags_and_what_limits_its_tokens() -> None:
    caller = Caller(
        tenant_id=uuid7(), key_id=uuid7(), key_prefix="p", scopes=frozenset(), currency="USD", retention_days=0,
        requests_per_minute=None, tokens_per_minute=None, concurrent_calls=None, expires_at=None,
        tags=(("team", "ads"),), allocation_tags=("feature", "team"),
    )  # fmt: skip
    own = {caller.key_id: {"tokens_per_month": 5}}
    kind = replace(terms(), limits=Limits.of(Plan(tokens_per_month=9), own))
    offer = offer_chat(body(metadata={"feature": "search", "team": "x", "other": "y"}), kind)
    made = admission_of(ENDPOINTS["/v1/chat/completions"], caller, kind, offer, uuid7(), Taken([]))
    assert made.tags == {"feature": "search", "team": "ads"}
    assert (made.quotas, made.tokens) == (Quotas(key=5, tenant=9), offer.tokens)


def test_several_choices_without_a_limit_need_the_least_of_each() -> None:
    assert offer_chat(body(n=2), terms()).hold_min == Decimal("0.0000325") + 2 * 16 * Decimal("0.00001")


def test_a_model_of_few_tokens_needs_no_more_than_it_can_answer() -> None:
    offer = offer_chat(body(), terms(most=4))
    assert offer.hold == offer.hold_min == Decimal("0.0000325") + 4 * Decimal("0.00001")
    assert offer.estimated_tokens == 4 + 4


def test_a_search_holds_its_passages_and_the_question_at_the_dearest_embedder() -> None:
    tool = "{'type': 'file_search', 'vector_store_ids': ['vs_1']}"
    offer = offer_chat(body(tools=[SEARCH]), terms())
    embedding = 7 * Decimal("0.0000001")
    least = (13 + len(tool) + PASSAGE_BYTES) * Decimal("0.0000025") + embedding
    assert least <= offer.prompt_hold <= least + 2_000 * Decimal("0.0000025")


def test_an_answer_that_may_be_repaired_is_held_twice_and_read_once_more() -> None:
    described = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    offer = offer_chat(body(max_tokens=100, n=2, response_format=described), terms())
    prompt = 13 + len(str(described))
    # Each of the two choices: the prompt again with at most 2,500 bytes, the answer read, and written anew.
    least = (3 * prompt + 2 * 500) * Decimal("0.0000025") + 2 * 100 * (2 * Decimal("0.00001") + Decimal("0.0000025"))
    assert least <= offer.hold == offer.hold_min <= least + 2 * 2_000 * Decimal("0.0000025")
    assert offer.hold == offer.prompt_hold + 100 * offer.output_price
    # A stream is not repaired; neither is what was not asked for strictly.
    lax = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    for members in ({"response_format": described, "stream": True}, {"response_format": lax}):
        single = offer_chat(body(max_tokens=100, n=2, **members), terms())
        assert single.output_price == 2 * Decimal("0.00001")
        assert single.prompt_hold < Decimal("0.0000025") * 200


def test_a_hold_is_taken_at_the_dearest_price_of_the_models_that_may_answer() -> None:
    dear = {("dear", "input_tokens"): "5", ("dear", "output_tokens"): "9", ("dear", "reasoning_tokens"): "30"}
    prices = {key: UnitPrice(uuid7(), *key, Decimal(amount), 1_000_000) for key, amount in (PRICES | dear).items()}
    chained = replace(
        terms(),
        prices=prices,
        chain=tuple(ChainModel(name, name, max_output_tokens=1_000, context_window=4_000) for name in ("m", "dear")),
    )
    offer = offer_chat(body(max_tokens=100), chained)
    assert (offer.prompt_hold, offer.output_price) == (13 * Decimal("0.000005"), Decimal("0.00003"))
    assert offer.hold == Decimal("0.000065") + Decimal("0.003")


def test_bytes_count_not_characters() -> None:
    assert offer_chat(body("日本"), terms()).prompt_hold == (6 + 8) * Decimal("0.0000025")


@given(st.text(max_size=300))
def test_a_text_has_no_more_tokens_than_bytes(text: str) -> None:
    assert count_tokens(text) <= len(text.encode())


@pytest.mark.parametrize("param", ["max_tokens", "max_completion_tokens"])
def test_more_output_than_the_model_has_is_refused_by_its_name(param: str) -> None:
    assert offer_chat(body(**{param: 1_000}), terms()).output_limit == 1_000
    with pytest.raises(InvalidRequest, match="at most 1000 tokens") as refused:
        offer_chat(body(**{param: 1_001}), terms())
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("members", "most"),
    # "word" is one token; a message takes four more, and the answer 16 at least or what the client asks for.
    [({}, 4_000 - 4 - 16), ({"max_tokens": 100}, 4_000 - 4 - 100)],
)
def test_a_prompt_may_fill_the_window_and_no_more(members: dict[str, Any], most: int) -> None:
    assert offer_chat(body("word " * most, **members), terms()).output_limit > 0
    with pytest.raises(ContextLengthExceeded, match="4000 tokens") as refused:
        offer_chat(body("word " * (most + 1), **members), terms())
    error = refused.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")


def test_the_worker_reads_the_request_that_was_offered() -> None:
    raw = body(
        temperature=0.5, tools=[SEARCH], stream=True, user="u", stream_options={"include_usage": True}, stop=["x"]
    )
    offer = offer_chat(raw, terms())
    assert ChatRequest.model_validate_json(offer.request) == ChatRequest.model_validate_json(raw)
    assert (offer.stream, offer.end_user) == (True, "u")


def test_embeddings_of_tokens_hold_as_many() -> None:
    offer = offer_embeddings(b'{"model": "alias", "input": [[15339, 1917], [9906]]}', terms("large"))
    assert (offer.hold, offer.estimated_tokens) == (3 * Decimal("0.0000001"), 3)


def test_embeddings_hold_their_bytes_and_two_special_tokens_a_text() -> None:
    offer = offer_embeddings(b'{"model": "alias", "input": ["ab", "\xc3\xa9"], "user": "u"}', terms("large"))
    # (2 + 2) + (2 + 2) bytes.
    assert offer.hold == offer.hold_min == offer.prompt_hold == 8 * Decimal("0.0000001")
    assert (offer.estimated_tokens, offer.output_limit, offer.stream, offer.end_user) == (3, 0, False, "u")
