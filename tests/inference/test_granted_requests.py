"""What a grant and a model make of a request: refusals that name the limit, defaults, fallbacks that could not answer."""

from decimal import Decimal
from typing import Any

import pytest

from billing.limits import Limits
from billing.models import Plan
from billing.prices import UnitPrice
from inference.admission import offer_for
from inference.granted_requests import as_granted, needed
from inference.requests import ChatRequest
from inference.terms import ChainModel, Rules, Terms, sticks_to
from tenants.errors import AtriumError
from tenants.ids import uuid7

ALL = frozenset({"vision", "tools", "json_schema", "logprobs", "n"})
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}]}]
TOOLS = [{"type": "function", "function": {"name": "weather"}}]
SEARCH = [{"type": "file_search", "vector_store_ids": ["vs_1"]}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def request(**members: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "a", "messages": [{"role": "user", "content": "x"}], **members})


def terms(*chain: ChainModel, **rules: Any) -> Terms:
    first = chain[0] if chain else model("m")
    return Terms(
        "a", first.name, "chat", first.context_window, first.max_output_tokens, None, {}, Plan(), Limits.of(Plan()),
        chain=chain or (first,), rules=Rules(**rules),
    )  # fmt: skip


def model(name: str, can: frozenset[str] = ALL, *, most: int = 1_000, window: int = 4_000) -> ChainModel:
    return ChainModel(name, name, max_output_tokens=most, context_window=window, capabilities=can)


@pytest.mark.parametrize(
    ("members", "capability", "param"),
    [
        ({"messages": IMAGE}, "vision", "messages"),
        ({"tools": TOOLS}, "tools", "tools"),
        ({"response_format": SCHEMA}, "json_schema", "response_format"),
        ({"logprobs": True}, "logprobs", "logprobs"),
        ({"n": 2}, "n", "n"),
    ],
)
def test_what_the_model_cannot_do_is_refused_and_what_it_can_is_not(
    members: dict[str, Any], capability: str, param: str
) -> None:
    asked = request(**members)
    assert needed(asked) == {capability}
    assert as_granted(asked, terms(model("m")))[0] == asked
    with pytest.raises(AtriumError) as refused:
        as_granted(asked, terms(model("m", ALL - {capability})))
    error = refused.value
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", param)
    assert error.message.startswith("'a' ")


def test_a_plain_request_and_a_search_of_documents_need_nothing() -> None:
    assert needed(request(n=1, tools=SEARCH, response_format={"type": "text"}, logprobs=False)) == frozenset()


@pytest.mark.parametrize(
    ("rules", "asked", "sent"),
    [
        ({}, None, None),
        ({"default_temperature": 0.3}, None, 0.3),
        ({"default_temperature": 0.3}, 0.0, 0.0),
        # Where servers would take 1.0, which is outside.
        ({"max_temperature": 0.5}, None, 0.5),
        ({"min_temperature": 1.2}, None, 1.2),
        ({"min_temperature": 0.2, "max_temperature": 1.5}, None, None),
        ({"min_temperature": 0.2, "max_temperature": 0.8}, 0.8, 0.8),
    ],
)
def test_the_temperature_that_is_sent(rules: dict[str, float], asked: float | None, sent: float | None) -> None:
    assert as_granted(request(temperature=asked), terms(**rules))[0].temperature == sent


def test_a_temperature_outside_the_range_is_refused_naming_the_range() -> None:
    with pytest.raises(AtriumError, match=r"from 0.2 to 0.8 for 'a'; it is 0.9") as refused:
        as_granted(request(temperature=0.9), terms(min_temperature=0.2, max_temperature=0.8))
    assert (refused.value.code, refused.value.param) == ("temperature_not_allowed", "temperature")


def test_only_the_tools_that_the_grant_allows_may_be_offered() -> None:
    some = terms(allowed_tools=frozenset({"weather", "file_search"}))
    assert as_granted(request(tools=TOOLS + SEARCH), some)[0].tools == TOOLS + SEARCH
    with pytest.raises(AtriumError, match=r"'shell'. Allowed: file_search, weather.") as refused:
        as_granted(request(tools=[{"type": "function", "function": {"name": "shell"}}]), some)
    assert (refused.value.status, refused.value.code) == (400, "tool_not_allowed")
    with pytest.raises(AtriumError, match=r"Allowed: none\."):
        as_granted(request(tools=SEARCH), terms(allowed_tools=frozenset()))


def test_fallbacks_that_could_not_answer_are_left_out() -> None:
    blind, small, short = model("blind", ALL - {"vision"}), model("small", most=50), model("short", window=200)
    chain = terms(model("m"), blind, small, short, model("good"))

    def names(asked: ChatRequest) -> list[str]:
        _, kept = as_granted(asked, chain)
        return [row.name for row in kept.chain]

    assert names(request()) == ["m", "blind", "small", "short", "good"]
    assert names(request(messages=IMAGE)) == ["m", "small", "short", "good"]
    assert names(request(max_tokens=100)) == ["m", "blind", "short", "good"]


def test_the_hold_covers_the_fallbacks_that_fit_and_the_worker_is_told_them() -> None:
    amounts = {"m": "1", "short": "1000", "good": "2"}
    prices = {
        (name, meter): UnitPrice(uuid7(), name, meter, Decimal(amount), 1_000_000)
        for name, amount in amounts.items()
        for meter in ("input_tokens", "output_tokens")
    }
    chain = terms(model("m"), model("short", window=100), model("good"))
    asked = request(messages=[{"role": "user", "content": "x" * 200}], max_tokens=50, timeout=12.5)
    offer = offer_for(asked, Terms(**{**chain.__dict__, "prices": prices}))
    # 200 bytes and 8 of the frame in, 50 tokens out, at 2 a million.
    assert offer.hold == (208 + 50) * Decimal("0.000002")
    assert [row.name for row in offer.chain] == ["m", "good"] and offer.timeout == 12.5
    assert [ChainModel.from_json(row.as_json()).name for row in offer.chain] == ["m", "good"]


def test_a_default_of_tokens_bounds_answers_whose_length_nobody_asked_for() -> None:
    free = {("m", meter): _free(meter) for meter in ("input_tokens", "output_tokens")}
    rules = Terms(**{**terms(default_max_tokens=70).__dict__, "prices": free})
    assert offer_for(request(), rules).output_limit == 70
    assert offer_for(request(max_tokens=500), rules).output_limit == 500


def _free(meter: str) -> Any:
    return UnitPrice(uuid7(), "m", meter, Decimal(0), 1)


def test_a_canary_answers_its_share_of_the_users_and_each_always_the_same_way() -> None:
    canary = terms(model("new"))
    grant_id = uuid7()

    def share(percent: int) -> set[str]:
        stable = Terms(**{**terms().__dict__, "canary": canary, "canary_share": percent, "grant_id": grant_id})
        return {user for user in map(str, range(4_000)) if stable.chosen_for(user).model == "new"}

    assert share(0) == set() and len(share(100)) == 4_000
    ten, thirty = share(10), share(30)
    # Binomial, 4,000 draws: standard deviations of 19 and 29; five of them.
    assert abs(len(ten) - 400) < 95 and abs(len(thirty) - 1_200) < 145
    assert ten < thirty  # who has the canary keeps it when the share grows
    assert share(10) == ten


def test_the_signed_end_user_goes_before_the_one_that_the_body_names_and_that_before_the_key() -> None:
    key = uuid7()
    assert sticks_to({"user": "u", "safety_identifier": "s"}, end_user="e", key_id=key) == "e"
    assert sticks_to({"user": "u", "safety_identifier": "s"}, end_user=None, key_id=key) == "s"
    assert sticks_to({"user": "u"}, end_user=None, key_id=key) == "u"
    assert sticks_to({"user": 7}, end_user=None, key_id=key) == str(key)
