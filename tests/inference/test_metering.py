"""What a call used: lines by model and meter, nothing for nothing, our own count where the provider gave none."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.reservations import UsageLine
from inference.calls import Admitted, Call
from inference.metering import CallMeter, count_tokens, estimate, estimate_of
from inference.prompting import message_bytes
from inference.providers.base import Prompt, ProviderError, Usage
from inference.requests import ChatRequest
from tenants.ids import uuid7


@pytest.fixture
def meter() -> CallMeter:
    """The meter of a second attempt."""
    admitted = Admitted([], 0, Decimal(0), 0, 0)
    now = datetime.now(UTC)
    return CallMeter(Call(uuid7(), uuid7(), 2, "chat", uuid7(), "alias", "m", {}, admitted, "", Decimal(1), [], now))


def priced(*names: str) -> CallMeter:
    """The meter of a first attempt whose reservation has prices for the model's `names`: 1, 2, 3 … a token."""
    found = [{"model": "m", "meter": name, "amount": str(n), "per": 1} for n, name in enumerate(names, start=1)]
    admitted = Admitted([], 0, Decimal(0), 0, 0)
    now = datetime.now(UTC)
    return CallMeter(Call(uuid7(), uuid7(), 1, "chat", uuid7(), "alias", "m", {}, admitted, "", Decimal(1), found, now))


def test_a_completion_is_a_line_for_each_meter_and_no_token_is_counted_twice(meter: CallMeter) -> None:
    meter.completion(Usage(7, 3, cached_input_tokens=5, reasoning_tokens=1))
    assert [(line.model, line.meter, line.quantity, line.attempt) for line in meter.lines] == [
        ("m", "input_tokens", 2, 2),
        ("m", "cached_input_tokens", 5, 2),
        ("m", "output_tokens", 2, 2),
        ("m", "reasoning_tokens", 1, 2),
    ]
    assert meter.tokens == 10


def test_cached_and_reasoning_tokens_have_their_own_price_or_that_of_their_kind() -> None:
    bare, own = (
        priced("input_tokens", "output_tokens"),
        priced("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"),
    )
    for one in (bare, own):
        one.completion(Usage(10, 10, cached_input_tokens=4, reasoning_tokens=3))
    assert [line.priced_as for line in bare.lines] == ["", "input_tokens", "", "output_tokens"]
    assert [line.priced_as for line in own.lines] == ["", "", "", ""]
    # 10 × 1 + 10 × 2; 6 × 1 + 4 × 3 + 7 × 2 + 3 × 4.
    assert (bare.full_cost(), own.full_cost()) == (30, 44)


def test_a_part_larger_than_its_whole_counts_as_the_whole(meter: CallMeter) -> None:
    meter.completion(Usage(7, 3, cached_input_tokens=70, reasoning_tokens=30))
    assert [(line.meter, line.quantity) for line in meter.lines] == [
        ("cached_input_tokens", 7),
        ("reasoning_tokens", 3),
    ]
    meter.completion(Usage(7, 3, cached_input_tokens=-1, reasoning_tokens=-1))
    assert meter.tokens == 20


def test_each_call_of_a_text_model_is_an_attempt_of_its_own(meter: CallMeter) -> None:
    meter.embedding("embedder", 4)
    meter.completion(Usage(7, 2), estimated=True)
    meter.completion(Usage(0, 0))
    meter.completion(Usage(8, 0), model="dear")
    meter.embedding("another", 5)
    assert [(line.model, line.meter, line.quantity, line.attempt, line.estimated) for line in meter.lines] == [
        ("embedder", "embedding_tokens", 4, 4, False),
        ("m", "input_tokens", 7, 2, True),
        ("m", "output_tokens", 2, 2, True),
        ("dear", "input_tokens", 8, 3, False),
        ("another", "embedding_tokens", 5, 5, False),
    ]
    # The ledger takes one line for an attempt and a meter, and an attempt is of one model.
    assert len({(line.attempt, line.meter) for line in meter.lines}) == len(meter.lines)
    assert len({(line.attempt, line.model) for line in meter.lines}) == 4
    assert meter.tokens == 4 + 9 + 8 + 5


def test_a_second_answer_of_an_attempt_is_the_next_one_that_is_free(meter: CallMeter) -> None:
    third = meter.of("m", 3)
    third.completion(Usage(1, 0))
    third.completion(Usage(2, 0))
    meter.of("dear", 5).completion(Usage(3, 0))
    meter.completion(Usage(4, 0))
    assert [(line.model, line.quantity, line.attempt) for line in meter.lines] == [
        ("m", 1, 3), ("m", 2, 4), ("dear", 3, 5), ("m", 4, 2),
    ]  # fmt: skip


def test_a_search_is_counted_where_searches_have_a_price(meter: CallMeter) -> None:
    meter.search()
    assert meter.lines == []
    priced_search = priced("input_tokens")
    priced_search._prices["file-search", "search_calls"] = Decimal(2)
    priced_search.search()
    priced_search.of("m", 1, provider="openai").completion(Usage(3, 0))
    assert priced_search.lines == [
        UsageLine("file-search", "search_calls", 1, 2), UsageLine("m", "input_tokens", 3, 1, provider="openai"),
    ]  # fmt: skip
    assert (priced_search.tokens, priced_search.full_cost()) == (3, 5)


def test_a_cache_hit_is_no_token(meter: CallMeter) -> None:
    meter.cache_hit()
    assert meter.lines == [UsageLine("m", "cache_hits", 1, 2)]
    assert meter.tokens == 0


def test_nothing_used_is_no_line(meter: CallMeter) -> None:
    meter.completion(Usage(0, 0))
    meter.embedding("embedder", 0)
    assert (meter.lines, meter.tokens) == ([], 0)


def test_tokens_are_word_pieces_without_frame_or_truncation() -> None:
    assert (count_tokens(""), count_tokens("hello world"), count_tokens("word " * 5_000)) == (0, 2, 5_000)


def test_a_silent_provider_is_estimated() -> None:
    assert estimate(prompt="one two three", output="four five") == Usage(3, 2)


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": "x"}}],
    },
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": ""},
]


def test_a_prompt_is_estimated_at_no_more_than_is_held_for_it() -> None:
    usage = estimate_of(Prompt(body={"messages": MESSAGES}, max_output_tokens=1), output="four five")
    # Four for each message, "Be brief ." and "one two" and the call.
    assert usage == Usage(4 * 4 + 3 + 2 + count_tokens("{'name': 'f', 'arguments': '{}'}"), 2)
    assert usage.input_tokens <= message_bytes(ChatRequest.model_validate({"model": "m", "messages": MESSAGES}))


def test_a_client_that_leaves_pays_the_input_of_a_provider_that_was_asked(meter: CallMeter) -> None:
    prompt = Prompt(body={"messages": [{"role": "user", "content": "one two three"}]}, max_output_tokens=1)
    meter.left()
    with pytest.raises(ProviderError), meter.of("m", 2).asking(prompt):
        raise ProviderError("away", code="x")
    # What failed and said nothing costs nothing.
    meter.left()
    assert meter.lines == []
    with pytest.raises(asyncio.CancelledError), meter.of("dear", 4).asking(prompt):
        raise asyncio.CancelledError
    meter.left()
    assert meter.lines == [UsageLine("dear", "input_tokens", 7, 4, estimated=True)]
    # What was produced and metered is not charged again.
    meter.left()
    assert len(meter.lines) == 1
