"""The limiter against a real Redis. Its clock is Redis' own, so times are asserted with tolerance."""

import asyncio
import time

import pytest
import redis
from django.conf import settings

from billing.limits import Level, Limiter, RateLimited, Rates, release_arguments
from tenants.ids import uuid7
from tenants.redis_line import RedisLine


class Gate:
    """One tenant's limiter, spoken to synchronously."""

    def __init__(self, **levels: Rates) -> None:
        self.tenant_id = uuid7()
        self.levels = [Level(name, uuid7(), rates) for name, rates in levels.items()]

    def admit(self, tokens=0, *, call_id=None, lease_ms=60_000, levels=None):
        async def run():
            async with RedisLine(settings.REDIS_URL) as line:
                return await Limiter(line).admit(
                    tenant_id=self.tenant_id, call_id=call_id or uuid7(), tokens=tokens,
                    levels=self.levels if levels is None else levels, lease_ms=lease_ms,
                )  # fmt: skip

        return asyncio.run(run()).headers

    def release(self, call_id, refund=0):
        async def run():
            async with RedisLine(settings.REDIS_URL) as line:
                await Limiter(line).release(
                    tenant_id=self.tenant_id, call_id=call_id, refund=refund, levels=self.levels
                )

        asyncio.run(run())

    def ttl_ms(self, level, suffix):
        with redis.from_url(settings.REDIS_URL) as client:
            return client.pttl(f"limits:{{{self.tenant_id}}}:{level.name}:{level.id}:{suffix}")


def test_requests_per_minute_run_out_and_say_when_to_come_back():
    gate = Gate(key=Rates(3, 0, 0))
    assert [gate.admit()["x-ratelimit-remaining-requests"] for _ in range(3)] == ["2", "1", "0"]
    with pytest.raises(RateLimited) as refusal:
        gate.admit()
    error = refusal.value
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    # Three a minute: the next one is due 20 s after the first was taken.
    assert 19_000 < int(error.headers["retry-after-ms"]) <= 20_000
    assert error.headers["retry-after"] == "20"
    assert error.headers["x-ratelimit-limit-requests"] == "3"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    assert "3 requests per minute" in error.message
    assert error.data["limit"]["level"] == "key"


def test_a_bucket_refills_with_time():
    gate = Gate(key=Rates(600, 0, 0))
    taken = [int(gate.admit()["x-ratelimit-remaining-requests"]) for _ in range(5)][-1]
    time.sleep(0.25)  # 600 a minute is one in 100 ms
    assert int(gate.admit()["x-ratelimit-remaining-requests"]) >= taken + 1


def test_tokens_cost_what_was_estimated_and_refunds_come_back():
    gate = Gate(key=Rates(0, 1_000, 0))
    call = uuid7()
    assert gate.admit(900, call_id=call)["x-ratelimit-remaining-tokens"] == "100"
    with pytest.raises(RateLimited, match="1000 tokens per minute"):
        gate.admit(200)
    gate.release(call, refund=850)
    assert 750 <= int(gate.admit(200)["x-ratelimit-remaining-tokens"]) <= 760


def test_a_call_that_used_more_than_estimated_takes_the_rest_afterwards():
    gate = Gate(key=Rates(0, 1_000, 0))
    call = uuid7()
    gate.admit(100, call_id=call)
    gate.release(call, refund=-800)
    with pytest.raises(RateLimited):
        gate.admit(200)


def test_a_refund_never_fills_above_the_limit():
    gate = Gate(key=Rates(0, 1_000, 0))
    call = uuid7()
    gate.admit(10, call_id=call)
    gate.release(call, refund=5_000)
    assert gate.admit(10)["x-ratelimit-remaining-tokens"] == "990"


def test_a_call_above_the_limit_waits_for_a_full_bucket_and_leaves_a_debt_that_is_kept():
    gate = Gate(key=Rates(0, 1_000, 0))
    assert gate.admit(30_000)["x-ratelimit-remaining-tokens"] == "0"
    with pytest.raises(RateLimited) as refusal:
        gate.admit(1)
    # 29,000 below zero and 1 to go, at 1,000 a minute.
    assert 28.9 * 60 <= int(refusal.value.headers["retry-after"]) <= 29.1 * 60
    assert gate.ttl_ms(gate.levels[0], "tpm") > 29 * 60_000


def test_concurrent_calls_are_places_that_come_back():
    gate = Gate(key=Rates(0, 0, 2))
    first, second = uuid7(), uuid7()
    gate.admit(call_id=first)
    gate.admit(call_id=second)
    with pytest.raises(RateLimited, match="2 concurrent calls") as refusal:
        gate.admit()
    assert refusal.value.headers == {"retry-after-ms": "1000", "retry-after": "1"}
    gate.release(first)
    gate.admit()


def test_a_dead_workers_place_is_free_when_its_lease_ends():
    gate = Gate(key=Rates(0, 0, 1))
    gate.admit(lease_ms=150)
    with pytest.raises(RateLimited):
        gate.admit()
    time.sleep(0.2)
    gate.admit()


def test_a_short_lease_does_not_end_a_longer_one():
    gate = Gate(key=Rates(0, 0, 2))
    gate.admit(lease_ms=60_000)
    gate.admit(lease_ms=100)
    time.sleep(0.15)
    gate.admit(lease_ms=60_000)
    with pytest.raises(RateLimited):
        gate.admit()


def test_a_call_takes_from_every_level_or_from_none():
    gate = Gate(key=Rates(10, 10_000, 10), tenant=Rates(1, 10_000, 10))
    headers = gate.admit(100)
    assert headers["x-ratelimit-limit-requests"] == "1"
    with pytest.raises(RateLimited) as refusal:
        gate.admit(100)
    assert refusal.value.data["limit"]["level"] == "tenant"
    # The refused call took nothing from the key: its second call is the second of ten.
    assert gate.admit(0, levels=gate.levels[:1])["x-ratelimit-remaining-requests"] == "8"


def test_headers_are_openais_and_the_drafts():
    headers = Gate(key=Rates(60, 100_000, 0)).admit(40_000)
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "100000",
        "x-ratelimit-remaining-tokens": "60000",
        "x-ratelimit-reset-tokens": "24s",
        "RateLimit-Policy": '"rpm";q=60;w=60, "tpm";q=100000;w=60',
        "RateLimit": '"rpm";r=59;t=1, "tpm";r=60000;t=24',
    }


def test_levels_without_limits_send_no_headers():
    assert Gate(key=Rates(0, 0, 0)).admit(1_000_000) == {}


def test_tenants_do_not_share_a_bucket():
    one, other = Gate(tenant=Rates(1, 0, 0)), Gate(tenant=Rates(1, 0, 0))
    one.admit()
    other.admit()


def test_calls_at_once_take_no_more_than_the_limit():
    gate = Gate(key=Rates(20, 0, 0))

    async def storm():
        async with RedisLine(settings.REDIS_URL) as line:
            limiter = Limiter(line)
            calls = [
                limiter.admit(tenant_id=gate.tenant_id, call_id=uuid7(), tokens=0, levels=gate.levels, lease_ms=1000)
                for _ in range(100)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    admitted = [answer for answer in asyncio.run(storm()) if not isinstance(answer, RateLimited)]
    assert 20 <= len(admitted) <= 21


def test_a_worker_releases_with_the_same_script():
    gate = Gate(key=Rates(0, 0, 1))
    call = uuid7()
    gate.admit(call_id=call)
    arguments = release_arguments(tenant_id=gate.tenant_id, call_id=call, refund=0, levels=gate.levels)
    with redis.from_url(settings.REDIS_URL) as client:
        client.eval(*arguments)
    gate.admit()
