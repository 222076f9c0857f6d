"""What a call used: lines by model and meter, nothing for nothing, our own count where the provider gave none."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.reservations import UsageLine
from inference.generations import Admitted, Call
from inference.metering import CallMeter, count_tokens, estimate
from inference.providers.base import Usage
from tenants.ids import uuid7


@pytest.fixture
def meter() -> CallMeter:
    """The meter of a second attempt."""
    admitted = Admitted([], 0, Decimal(0), 0, 0)
    now = datetime.now(UTC)
    return CallMeter(Call(uuid7(), uuid7(), 2, "chat", uuid7(), "alias", "m", {}, admitted, "", Decimal(1), [], now))


def test_a_completion_is_a_line_for_each_direction(meter: CallMeter) -> None:
    meter.completion(Usage(7, 3, cached_input_tokens=5, reasoning_tokens=1))
    assert meter.lines == [UsageLine("m", "input_tokens", 7, 2), UsageLine("m", "output_tokens", 3, 2)]
    assert meter.tokens == 10


def test_an_embedding_is_charged_to_its_own_model(meter: CallMeter) -> None:
    meter.embedding("embedder", 4)
    meter.completion(Usage(7, 0))
    assert meter.lines == [UsageLine("embedder", "embedding_tokens", 4, 2), UsageLine("m", "input_tokens", 7, 2)]
    assert meter.tokens == 11


def test_nothing_used_is_no_line(meter: CallMeter) -> None:
    meter.completion(Usage(0, 0))
    meter.embedding("embedder", 0)
    assert (meter.lines, meter.tokens) == ([], 0)


def test_tokens_are_word_pieces_without_frame_or_truncation() -> None:
    assert (count_tokens(""), count_tokens("hello world"), count_tokens("word " * 5_000)) == (0, 2, 5_000)


def test_a_silent_provider_is_estimated() -> None:
    assert estimate(prompt="one two three", output="four five") == Usage(3, 2)
