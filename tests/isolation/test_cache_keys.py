"""Redis as a stranger: every key carries one tenant's id or is on a short list of shared ones that hold nothing of a tenant.

Here each user of Redis runs alone; `tests/e2e/test_documents.py` looks at the keys that a running stack leaves behind.
"""

import asyncio
import os
import re
from collections.abc import Iterator

import pytest
import redis

from billing.limits import Level, Limiter, Rates
from config.worker_heartbeat import beat, forget
from inference import bells
from inference.relay import Inbox, tell
from tenants.ids import uuid7
from tenants.redis_line import RedisLine
from tests.conftest import Member

#: Keys without a tenant, and why each may be.
SHARED = {
    r"inbox:\d+:[0-9a-f]{32}": "a web process's: answers on their way, by the ids of their calls, expiring",
    r"celery:.*": "the broker's tables and doorbells; a doorbell carries nothing",
    r"bells:generation": "that work waits; a bell carries nothing",
    r"workers:.*": "which workers live",
    r"\{routing\}:.*": "how deployments fare, by their ids alone",
    r":1:rl:[0-9a-f]+": "counters of django-ratelimit, under a hash of door and caller",
}


def is_shared(key: str) -> bool:
    """Whether a key is on the list."""
    return any(re.fullmatch(pattern, key) for pattern in SHARED)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


def names(client: redis.Redis) -> set[str]:
    return {key.decode() for key in client.scan_iter()}


async def take_and_give_back(member: Member) -> None:
    """A call through the limiter, which ends, and one that goes on."""
    rates = Rates(60, 1_000, 5)
    levels = [Level("key", uuid7(), rates), Level("tenant", member.tenant.id, rates)]
    async with RedisLine(os.environ["REDIS_URL"]) as line:
        limiter = Limiter(line)
        for ends in (True, False):
            call_id = uuid7()
            whose = {"tenant_id": member.tenant.id, "call_id": call_id, "levels": levels}
            taken = await limiter.admit(tokens=5, lease_ms=1_000, **whose)
            if ends:
                await limiter.release(refund=1, taken_at=taken.taken_at, **whose)


def test_the_limiters_keys_carry_their_tenant(acme: Member, globex: Member, client: redis.Redis) -> None:
    before = names(client)
    asyncio.run(take_and_give_back(acme))
    acmes = names(client) - before
    asyncio.run(take_and_give_back(globex))
    globexs = names(client) - before - acmes
    # The window and the calls, of the key and of the tenant.
    assert len(acmes) == len(globexs) == 4
    assert all(str(acme.tenant.id) in key and str(globex.tenant.id) not in key for key in acmes)
    assert all(str(globex.tenant.id) in key and str(acme.tenant.id) not in key for key in globexs)


def test_limits_of_one_tenant_do_not_count_for_another(acme: Member, globex: Member, client: redis.Redis) -> None:
    asyncio.run(take_and_give_back(acme))
    left = {key: client.hgetall(key) for key in names(client) if str(acme.tenant.id) in key and key.endswith("window")}
    asyncio.run(take_and_give_back(globex))
    assert left and all(client.hgetall(key) == value for key, value in left.items())


def test_the_doors_that_count_attempts_leave_a_hash(acme: Member, client: redis.Redis) -> None:
    before = names(client)
    acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"]}, format="json")
    Member(acme.tenant, "sk-platform-wrong").client.get("/v1/platform/tenants")
    made = names(client) - before
    assert made and all(is_shared(key) for key in made)
    assert not any(acme.key.encode() in (client.dump(key) or b"") for key in made)


def test_relay_and_heartbeat_leave_shared_keys_only(client: redis.Redis) -> None:
    before = names(client)
    inbox = Inbox(RedisLine(os.environ["REDIS_URL"]))
    tell(client, inbox.name, uuid7(), error=b"{}", status=502)
    bells.ring(client)
    beat(client, "a worker", ["generation"])
    made = names(client) - before
    assert inbox.name in made and all(is_shared(key) for key in made)
    forget(client, "a worker", ["generation"])
