"""The limiter against a real Redis. Its clock is Redis' own, so times are asserted with tolerance."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import redis
from django.conf import settings

from billing.limits import Level, Limiter, RateLimited, Rates, release_arguments
from billing.limits.limiter import take_now
from tenants.ids import uuid7
from tenants.redis_line import RedisLine

#: Windows of 0.6 s, so that tests see them slide.
QUICK = 5
WINDOW = 0.6


class Gate:
    """One tenant's limiter, spoken to synchronously."""

    def __init__(self, *, slot_ms=500, **levels: Rates) -> None:
        self.tenant_id, self.slot_ms = uuid7(), slot_ms
        self.levels = [Level(name, uuid7(), rates) for name, rates in levels.items()]
        self.taken_at = {}

    def admit(self, tokens=0, *, call_id=None, lease_ms=60_000, levels=None):
        call_id = call_id or uuid7()

        async def run():
            async with RedisLine(settings.REDIS_URL) as line:
                return await Limiter(line, slot_ms=self.slot_ms).admit(
                    tenant_id=self.tenant_id, call_id=call_id, tokens=tokens,
                    levels=self.levels if levels is None else levels, lease_ms=lease_ms,
                )  # fmt: skip

        admission = asyncio.run(run())
        self.taken_at[call_id] = admission.taken_at
        return admission.headers

    def left(self, kind):
        async def run():
            async with RedisLine(settings.REDIS_URL) as line:
                return await Limiter(line, slot_ms=self.slot_ms).look(tenant_id=self.tenant_id, levels=self.levels)

        return int(asyncio.run(run()).headers[f"x-ratelimit-remaining-{kind}"])

    def release(self, call_id, refund=0):
        arguments = {"tenant_id": self.tenant_id, "call_id": call_id, "refund": refund, "levels": self.levels}

        async def run():
            async with RedisLine(settings.REDIS_URL) as line:
                limiter = Limiter(line, slot_ms=self.slot_ms)
                await limiter.release(**arguments, taken_at=self.taken_at[call_id])

        asyncio.run(run())


def test_requests_per_minute_run_out_and_say_when_to_come_back():
    gate = Gate(key=Rates(3, 0, 0))
    assert [gate.admit()["x-ratelimit-remaining-requests"] for _ in range(3)] == ["2", "1", "0"]
    with pytest.raises(RateLimited) as refusal:
        gate.admit()
    error = refusal.value
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    # The first of the three leaves the window a minute after it was taken, at the end of its half second.
    assert 59_000 < int(error.headers["retry-after-ms"]) <= 60_500
    assert error.headers["x-ratelimit-limit-requests"] == "3"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    assert "3 requests per minute, 3 used" in error.message and "Try again in" in error.message
    said = error.data["limit"]
    assert (said["level"], said["kind"], said["limit"], said["used"]) == ("key", "requests per minute", 3, 3)
    assert said["retry_after_ms"] <= said["resets_in_ms"] <= 60_500


def test_in_any_window_at_most_the_limit_passes_and_nearly_that_much_does():
    gate = Gate(slot_ms=QUICK, key=Rates(100, 0, 0))

    async def hammer(until):
        passed = []
        async with RedisLine(settings.REDIS_URL) as line:
            limiter = Limiter(line, slot_ms=QUICK)
            while time.monotonic() < until:
                taking = [
                    limiter.admit(tenant_id=gate.tenant_id, call_id=uuid7(), tokens=0, levels=gate.levels, lease_ms=1)
                    for _ in range(3)
                ]
                found = await asyncio.gather(*taking, return_exceptions=True)
                passed += [one.taken_at for one in found if not isinstance(one, RateLimited)]
                await asyncio.sleep(0.004)
        return passed

    until = time.monotonic() + 2.5 * WINDOW
    with ThreadPoolExecutor(4) as threads:
        times = sorted(at for times in threads.map(lambda _: asyncio.run(hammer(until)), range(4)) for at in times)
    # The hundredth after each passed when it had left the window.
    assert all(later - earlier >= WINDOW * 1000 for earlier, later in zip(times, times[100:], strict=False))
    # Windows follow each other within a slot and what the pace of the four leaves over.
    assert 200 < len(times) <= 300
    assert max(later - earlier for earlier, later in pairwise(times)) <= WINDOW * 1000 + 3 * QUICK


def test_tokens_cost_what_was_estimated_and_refunds_come_back():
    gate = Gate(key=Rates(0, 1_000, 0))
    call = uuid7()
    assert gate.admit(900, call_id=call)["x-ratelimit-remaining-tokens"] == "100"
    with pytest.raises(RateLimited, match="1000 tokens per minute, 900 used"):
        gate.admit(200)
    gate.release(call, refund=850)
    assert gate.admit(200)["x-ratelimit-remaining-tokens"] == "750"


def test_what_is_given_back_leaves_the_window_with_what_it_was_of():
    gate = Gate(slot_ms=QUICK, key=Rates(0, 1_000, 0))
    early, late = uuid7(), uuid7()
    gate.admit(900, call_id=early)
    time.sleep(WINDOW / 2)
    gate.release(early, refund=800)
    gate.admit(600, call_id=late)
    time.sleep(WINDOW / 2 + 0.05)
    assert gate.left("tokens") == 400  # the early call's hundred are gone, the late one's are not
    gate.release(early, refund=100)  # of a window that is over: nothing comes back twice
    assert gate.left("tokens") == 400


def test_a_call_that_used_more_than_estimated_takes_the_rest_afterwards():
    gate = Gate(slot_ms=QUICK, key=Rates(0, 1_000, 0))
    call = uuid7()
    gate.admit(100, call_id=call)
    gate.release(call, refund=-1_900)
    with pytest.raises(RateLimited):
        gate.admit(200)
    time.sleep(WINDOW + 0.05)
    assert gate.admit(1_000)["x-ratelimit-remaining-tokens"] == "0"


def test_a_refund_is_never_more_than_what_was_taken():
    gate = Gate(key=Rates(0, 1_000, 0))
    call = uuid7()
    gate.admit(10, call_id=call)
    gate.admit(10)
    gate.release(call, refund=5_000)
    assert 980 <= gate.left("tokens") <= 1_000


def test_a_call_above_the_limit_never_passes_and_is_told_so():
    gate = Gate(key=Rates(0, 1_000, 0))
    with pytest.raises(RateLimited, match="may take 30000 tokens, the limit is 1000 tokens per minute") as refusal:
        gate.admit(30_000)
    assert refusal.value.headers["x-should-retry"] == "false" and "retry-after" not in refusal.value.headers
    assert refusal.value.data["limit"]["requested"] == 30_000
    assert gate.left("tokens") == 1_000


def test_concurrent_calls_are_places_that_come_back():
    gate = Gate(key=Rates(0, 0, 2))
    first, second = uuid7(), uuid7()
    gate.admit(call_id=first)
    gate.admit(call_id=second)
    with pytest.raises(RateLimited, match="2 concurrent calls, 2 used") as refusal:
        gate.admit()
    assert refusal.value.headers == {"retry-after-ms": "1000", "retry-after": "1"}
    gate.release(first)
    gate.admit()


def test_a_dead_workers_place_is_free_when_its_lease_ends_and_a_short_lease_does_not_end_a_longer_one():
    gate = Gate(key=Rates(0, 0, 2))
    gate.admit(lease_ms=60_000)
    gate.admit(lease_ms=100)
    with pytest.raises(RateLimited):
        gate.admit()
    time.sleep(0.15)
    gate.admit(lease_ms=60_000)
    with pytest.raises(RateLimited):
        gate.admit()


def test_a_call_takes_from_every_level_or_from_none():
    gate = Gate(user=Rates(9, 0, 0), key=Rates(10, 10_000, 10), tenant=Rates(1, 10_000, 10))
    headers = gate.admit(100)
    assert headers["x-ratelimit-limit-requests"] == "1"
    with pytest.raises(RateLimited) as refusal:
        gate.admit(100)
    assert refusal.value.data["limit"]["level"] == "tenant"
    # Headers speak of all levels, on a refusal too.
    assert refusal.value.headers["x-ratelimit-remaining-tokens"] == "9900"
    # The refused call took nothing from the others: the key's second call is the second of ten.
    assert gate.admit(0, levels=gate.levels[:2])["x-ratelimit-remaining-requests"] == "7"


def test_headers_are_openais_and_the_drafts():
    headers = Gate(key=Rates(60, 100_000, 0)).admit(40_000)
    resets = {name: headers.pop(name) for name in ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")}
    assert set(resets.values()) == {"1m0s"}
    assert headers.pop("RateLimit") in {f'"rpm";r=59;t={t}, "tpm";r=60000;t={t}' for t in (60, 61)}
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-limit-tokens": "100000",
        "x-ratelimit-remaining-tokens": "60000",
        "RateLimit-Policy": '"rpm";q=60;w=60, "tpm";q=100000;w=60',
    }


def test_levels_without_limits_send_no_headers():
    assert Gate(key=Rates(0, 0, 0)).admit(1_000_000) == {}


def test_tenants_do_not_share_a_window():
    one, other = Gate(tenant=Rates(1, 0, 0)), Gate(tenant=Rates(1, 0, 0))
    one.admit()
    other.admit()


def test_a_look_takes_nothing_and_a_thread_takes_a_request():
    gate = Gate(key=Rates(2, 0, 1))
    with redis.from_url(settings.REDIS_URL) as client:
        client.script_flush()
        whose = {"tenant_id": gate.tenant_id, "levels": gate.levels}
        looked = take_now(client, **whose, requests=0)
        assert looked.headers["x-ratelimit-remaining-requests"] == "2"
        assert looked.headers["x-ratelimit-reset-requests"] == "0ms"
        assert take_now(client, **whose, requests=1).headers["x-ratelimit-remaining-requests"] == "1"
        gate.admit()
        with pytest.raises(RateLimited):
            take_now(client, **whose, requests=1)


def test_a_worker_releases_with_the_same_script():
    gate = Gate(key=Rates(0, 0, 1))
    call = uuid7()
    gate.admit(call_id=call)
    arguments = release_arguments(
        tenant_id=gate.tenant_id, call_id=call, refund=0, levels=gate.levels, taken_at=gate.taken_at[call]
    )
    with redis.from_url(settings.REDIS_URL) as client:
        client.eval(*arguments)
    gate.admit()
