"""One call's attempts: another deployment at once, the same one after a moment, then the fallback; never after a token."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from inference.calls import Admitted, Call
from inference.catalogue import NoDeployment
from inference.models import Deployment, TenantDeployment
from inference.providers.base import ProviderError
from inference.routing import attempts
from inference.routing.attempts import Route
from inference.routing.board import Board
from inference.terms import ChainModel
from tenants.ids import uuid7

from .conftest import deployment

Workers = Callable[[], Board]
BROKEN = ProviderError("it failed", code="upstream_error")
CREDENTIALS = ProviderError("refused", code="upstream_credentials", temporary=False)
REFUSED = ProviderError("bad temperature", code="bad", status=400, temporary=False)


def busy(seconds: float) -> ProviderError:
    return ProviderError("busy", code="upstream_rate_limited", status=503, retry_after=seconds)


def call(*, chain: list[ChainModel], seconds: float, attempt: int = 1) -> Call:
    """A claimed call that may take so long."""
    admitted = Admitted([], 0, Decimal(0), 0, 0, chain=tuple(chain), timeout=seconds)
    return Call(
        uuid7(), uuid7(), attempt, "chat", uuid7(), "m", "m", "{}", admitted, "", Decimal(0), [], datetime.now(UTC)
    )


class Street:
    """A board and the deployments of some models; `call` goes along as a worker does."""

    def __init__(self, board: Board, monkeypatch: pytest.MonkeyPatch, models: dict[str, list[Deployment]]) -> None:
        self.board = board
        self.asked: list[str] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(attempts, "remembered_deployments", lambda tenant_id, model: models[model])
        monkeypatch.setattr(attempts.asyncio, "sleep", self._pause)
        self.chain = [ChainModel(name, name) for name in models]

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        for name, state in list(self.board._states.items()):
            self.board._states[name] = type(state)(state.kind, state.until - seconds)

    async def call(self, says: dict[str, Any], *, produced: bool = False, seconds: float = 60, **options: Any) -> Route:
        """`says`: deployment → what it raises each time, or a list of what it raises first; otherwise it answers."""
        route = Route(
            call=call(seconds=seconds, **{"chain": self.chain, **options}), stream=True, board=self.board, made=[]
        )
        self.route = route
        async for attempt in route.attempts():
            async with attempt:
                name = attempt.deployment.name
                self.asked.append(name)
                said = says.get(name)
                error = (said.pop(0) if said else None) if isinstance(said, list) else said
                if produced:
                    attempt.first_token()
                if error is not None:
                    raise error
        return route


@pytest.fixture
def street(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Street]:
    return lambda **models: Street(workers(), monkeypatch, models)


async def test_another_deployment_is_asked_at_once_and_each_attempt_is_recorded(street: Callable[..., Street]) -> None:
    first, second = deployment("a", weight=1000), deployment("b", weight=1)
    one = street(m=[first, second])
    # a goes first in 999 of 1,000 calls.
    while (await one.call({"a": [BROKEN]})).made[0].deployment is second:
        continue
    failed, answered = one.route.made
    assert one.asked[-2:] == ["a", "b"] and one.pauses == []
    assert (failed.number, failed.kind.code, failed.kind.category, failed.error_class) == (
        1,
        "upstream_error",
        "upstream",
        "ProviderError",
    )
    row = answered.as_json()
    assert (row["number"], row["deployment"], row["model"], "code" in row) == (2, "b", "m", False)
    assert failed.as_json()["retryable"] is True and failed.latency_ms >= 0


async def test_a_lone_deployment_is_asked_three_times_with_growing_pauses_then_the_failure_is_raised(
    street: Callable[..., Street],
) -> None:
    one = street(m=[deployment("a")])
    with pytest.raises(ProviderError) as failed:
        await one.call({"a": BROKEN})
    assert failed.value is BROKEN and one.asked == ["a", "a", "a"]
    assert 0.1 <= one.pauses[0] <= 0.15 and 0.2 <= one.pauses[1] <= 0.3
    assert [attempt.number for attempt in one.route.made] == [1, 2, 3]


@pytest.mark.parametrize("error", [REFUSED, ValueError("a defect")])
async def test_what_another_cannot_answer_better_is_raised_at_once(
    street: Callable[..., Street], error: Exception
) -> None:
    one = street(m=[deployment("a"), deployment("b")], n=[deployment("c")])
    with pytest.raises(type(error)):
        await one.call(dict.fromkeys("abc", error))
    assert len(one.asked) == 1


async def test_nothing_follows_an_attempt_that_produced_something(street: Callable[..., Street]) -> None:
    one = street(m=[deployment("a"), deployment("b")])
    with pytest.raises(ProviderError):
        await one.call(dict.fromkeys("ab", BROKEN), produced=True)
    [attempt] = one.route.made
    assert attempt.ttft_ms is not None and attempt.kind.code == "upstream_error"


async def test_wrong_credentials_are_not_tried_again_but_others_are(street: Callable[..., Street]) -> None:
    one = street(m=[deployment("a"), deployment("b")], n=[deployment("c")])
    await one.call({"a": CREDENTIALS, "b": CREDENTIALS})
    assert sorted(one.asked[:2]) == ["a", "b"] and one.asked[2:] == ["c"]
    assert one.route.made[-1].model.name == "n"


async def test_a_fallback_answers_after_two_tries_of_the_first_and_may_be_tried_three_times(
    street: Callable[..., Street],
) -> None:
    one = street(m=[deployment("a")], n=[deployment("b")])
    with pytest.raises(ProviderError):
        await one.call({"a": BROKEN, "b": BROKEN})
    assert one.asked == ["a", "a", "b", "b", "b"]


async def test_a_variant_is_asked_by_its_adapters_name(street: Callable[..., Street]) -> None:
    one = street(m=[deployment("a", upstream_model="base-7b")])
    route = await one.call({}, chain=[ChainModel("ft:m:tone", "m", "tone-lora")], attempt=2)
    assert (route.made[0].upstream_model, route.made[0].number) == ("tone-lora", 7)
    assert (await one.call({})).made[0].upstream_model == "base-7b"


async def test_retry_after_is_honoured_by_the_call_and_by_all_others(street: Callable[..., Street]) -> None:
    one = street(m=[deployment("a")])
    await one.call({"a": [busy(2)]})
    assert one.asked == ["a", "a"] and 2.0 * 0.95 <= one.pauses[0] <= 3.0
    one = street(m=[deployment("a")])
    with pytest.raises(ProviderError) as failed:
        await one.call({"a": [busy(60)]})
    # A minute is too long to wait for: the client is told.
    assert failed.value.retry_after == 60 and one.asked == ["a"] and one.pauses == []
    with pytest.raises(NoDeployment) as away:
        await one.call({})
    assert one.asked == ["a"] and 58 <= int(away.value.headers["retry-after"]) <= 60


async def test_with_a_fallback_nobody_waits_for_who_is_busy(street: Callable[..., Street]) -> None:
    one = street(m=[deployment("a")], n=[deployment("b")])
    await one.call({"a": busy(2)})
    assert one.asked == ["a", "b"] and one.pauses == []


async def test_a_call_does_not_wait_beyond_its_deadline(street: Callable[..., Street]) -> None:
    one = street(m=[deployment("a")])
    with pytest.raises(ProviderError):
        await one.call({"a": busy(2)}, seconds=1)
    assert one.asked == ["a"] and one.pauses == []


async def test_an_open_breaker_is_passed_by_and_fails_fast_where_nobody_else_is(street: Callable[..., Street]) -> None:
    bad, good = deployment("bad"), deployment("good")
    one = street(m=[bad, good])
    for _ in range(5):
        await one.board.failed(str(bad.pk))
    for _ in range(20):
        await one.call({})
    assert Counter(one.asked) == {"good": 20}
    lone = street(m=[bad])
    await lone.board._read()
    with pytest.raises(NoDeployment) as away:
        await lone.call({})
    assert lone.asked == [] and lone.pauses == [] and 1 <= int(away.value.headers["retry-after"]) <= 5


async def test_a_breaker_opens_during_a_call_that_keeps_failing(street: Callable[..., Street], settings: Any) -> None:
    settings.BREAKER_FAILURES = 2
    one = street(m=[deployment("a")])
    with pytest.raises(ProviderError):
        await one.call({"a": BROKEN})
    assert one.asked == ["a", "a"]


async def test_a_cancelled_attempt_is_recorded_gives_its_place_back_and_is_nobodys_fault(
    street: Callable[..., Street],
) -> None:
    row = deployment("a", max_concurrent=1)
    one = street(m=[row])
    with pytest.raises(asyncio.CancelledError):
        await one.call({"a": asyncio.CancelledError()})
    await one.board.settle_down()
    assert one.route.made[0].kind.code == "cancelled"
    await one.call({})
    assert one.asked == ["a", "a"]


async def test_only_the_deployments_that_the_price_was_made_for_are_asked(
    street: Callable[..., Street], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = deployment("platform")
    own = TenantDeployment(name="own", model=theirs.model, provider="openai", tenant_id=uuid7())
    one = street(m=[theirs, own])
    await one.call({}, chain=[ChainModel("m", "m", own=True)])
    await one.call({}, chain=[ChainModel("m", "m", own=False)])
    assert one.asked == ["own", "platform"]
    one = street(m=[theirs])
    with pytest.raises(NoDeployment):
        await one.call({}, chain=[ChainModel("m", "m", own=True)])


async def test_the_fastest_goes_first_but_for_a_few_that_keep_the_others_known(street: Callable[..., Street]) -> None:
    slow, fast = (deployment(name, strategy="fastest") for name in ("slow", "fast"))
    one = street(m=[slow, fast])
    for row, ms in ((slow, 900.0), (fast, 90.0)):
        one.board.measured(str(row.pk), "first", ms)
    await one.board.settle_down()
    await one.board._read()
    monkey = one.board.measured
    one.board.measured = lambda *arguments: None
    for _ in range(400):
        await one.call({})
    one.board.measured = monkey
    # One in twenty is drawn by weight, half of those slow: 10 of 400 expected, a standard deviation of 3.1.
    assert 0 < Counter(one.asked)["slow"] < 28
