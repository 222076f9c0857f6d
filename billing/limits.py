"""Requests and tokens a minute, and concurrent calls, per key and tenant: one Lua script, one round trip.

Token buckets with cost and refund: admission takes a request, the estimated tokens and a place among the concurrent
calls from every level, or nothing from any; settlement gives back what was estimated too high. A place is held under
a lease, so a worker that dies frees it. Redis is never the authority for money: budgets live in Postgres.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any
from uuid import UUID

from redis.exceptions import NoScriptError

from tenants.batching import Batcher
from tenants.errors import AtriumError
from tenants.redis_line import RedisLine

_ADMIT = """
-- KEYS: for each level its requests bucket, tokens bucket and concurrent set.
-- ARGV: id, tokens, lease ms, then for each level requests/min, tokens/min, concurrent calls (0: no limit).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, tokens, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function level_of(key, limit)
  local state = redis.call('HMGET', key, 'v', 't')
  if not state[1] then return limit end
  return math.min(limit, tonumber(state[1]) + (now - tonumber(state[2])) * limit / 60000)
end
-- Kept until the bucket is full again, however deep in debt a refused estimate or a negative refund left it.
local function keep(key, level, limit)
  redis.call('HSET', key, 'v', tostring(level), 't', now)
  redis.call('PEXPIRE', key, math.ceil((limit - level) * 60000 / limit) + 60000)
end
local out, levels = {}, #KEYS / 3
for i = 0, levels - 1 do
  local rpm, tpm, calls = tonumber(ARGV[4 + i * 3]), tonumber(ARGV[5 + i * 3]), tonumber(ARGV[6 + i * 3])
  local r, t = level_of(KEYS[1 + i * 3], rpm), level_of(KEYS[2 + i * 3], tpm)
  redis.call('ZREMRANGEBYSCORE', KEYS[3 + i * 3], '-inf', now)
  local c = redis.call('ZCARD', KEYS[3 + i * 3])
  if rpm > 0 and r < 1 then
    return {'requests', i, rpm, tostring(r), tostring((1 - r) * 60000 / rpm)}
  end
  if tpm > 0 and t < math.min(tokens, tpm) then
    return {'tokens', i, tpm, tostring(t), tostring((math.min(tokens, tpm) - t) * 60000 / tpm)}
  end
  if calls > 0 and c >= calls then return {'concurrent', i, calls, '0', '1000'} end
  out[#out + 1] = r; out[#out + 1] = t
end
local answer = {'ok'}
for i = 0, levels - 1 do
  local rpm, tpm, calls = tonumber(ARGV[4 + i * 3]), tonumber(ARGV[5 + i * 3]), tonumber(ARGV[6 + i * 3])
  local r, t = out[1 + i * 2] - 1, out[2 + i * 2] - tokens
  if rpm > 0 then keep(KEYS[1 + i * 3], r, rpm) end
  if tpm > 0 then keep(KEYS[2 + i * 3], t, tpm) end
  if calls > 0 then
    redis.call('ZADD', KEYS[3 + i * 3], now + lease, id)
    -- A short lease must not end the set under a longer one.
    if redis.call('PTTL', KEYS[3 + i * 3]) < lease then redis.call('PEXPIRE', KEYS[3 + i * 3], lease) end
  end
  answer[#answer + 1] = tostring(r); answer[#answer + 1] = tostring(t)
end
return answer
"""

_RELEASE = """
-- KEYS: for each level its tokens bucket and concurrent set. ARGV: id, tokens to give back (may be negative), limits.
for i = 0, #KEYS / 2 - 1 do
  redis.call('ZREM', KEYS[2 + i * 2], ARGV[1])
  local limit = tonumber(ARGV[3 + i])
  local level = redis.call('HGET', KEYS[1 + i * 2], 'v')
  if level and limit > 0 then
    redis.call('HSET', KEYS[1 + i * 2], 'v', tostring(math.min(limit, tonumber(level) + tonumber(ARGV[2]))))
  end
end
"""


_ADMIT_SHA = sha1(_ADMIT.encode(), usedforsecurity=False).hexdigest()


class RateLimited(AtriumError):
    """A rate or concurrency limit: says which, of whom, the limit, and when to come back."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


@dataclass(frozen=True)
class Rates:
    """Limits of one level; 0 means none."""

    requests_per_minute: int
    tokens_per_minute: int
    concurrent_calls: int


@dataclass(frozen=True)
class Level:
    """Something with limits: the tenant, or one of its keys."""

    name: str
    id: UUID
    rates: Rates


@dataclass(frozen=True)
class Admission:
    """What was taken, to be given back at the end, and the rate-limit headers of the answer."""

    headers: dict[str, str]


def _prefix(tenant_id: UUID, level: Level) -> str:
    # The braces keep a tenant's keys on one node of a Redis cluster, as a script needs.
    return f"limits:{{{tenant_id}}}:{level.name}:{level.id}"


def _duration(milliseconds: float) -> str:
    """As OpenAI writes it: `12ms`, `1.5s`, `6m0s`."""
    if milliseconds < 1000:
        return f"{math.ceil(milliseconds)}ms"
    minutes, seconds = divmod(milliseconds / 1000, 60)
    return f"{int(minutes)}m{int(seconds)}s" if minutes else f"{seconds:.3g}s"


@dataclass(frozen=True)
class _Request:
    """One call that asks for admission: keys and arguments of the script, and the levels they speak of."""

    keys: list[str]
    arguments: list[Any]
    levels: Sequence[Level]


class Limiter:
    """Admits and releases calls; one for each event loop. Calls that ask together share a round trip."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line
        self._admit: Batcher[_Request, Admission] = Batcher(self._admit_batch, most=64)

    async def admit(
        self, *, tenant_id: UUID, call_id: UUID, tokens: int, levels: Sequence[Level], lease_ms: int
    ) -> Admission:
        """Take one request, `tokens` and a concurrent place from every level, or nothing.

        Raises:
            RateLimited: a level is at its limit (429 with retry-after).
            RedisError: Redis is away.
        """
        keys, limits = [], []
        for level in levels:
            prefix = _prefix(tenant_id, level)
            keys += [f"{prefix}:rpm", f"{prefix}:tpm", f"{prefix}:calls"]
            rates = level.rates
            limits += [rates.requests_per_minute, rates.tokens_per_minute, rates.concurrent_calls]
        return await self._admit(_Request(keys, [call_id.hex, tokens, lease_ms, *limits], levels))

    async def _admit_batch(self, batch: Sequence[_Request]) -> list[Admission | Exception]:
        answers = await self._run(batch)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # Redis was started anew: a script that it does not know did nothing.
            await self._line.ask(("SCRIPT", "LOAD", _ADMIT))
            missing = [one for one, answer in zip(batch, answers, strict=True) if isinstance(answer, NoScriptError)]
            late = iter(await self._run(missing))
            answers = [next(late) if isinstance(answer, NoScriptError) else answer for answer in answers]
        return [_admission(answer, one.levels) for answer, one in zip(answers, batch, strict=True)]

    async def _run(self, batch: Sequence[_Request]) -> list[Any]:
        commands = [("EVALSHA", _ADMIT_SHA, len(one.keys), *one.keys, *one.arguments) for one in batch]
        return await self._line.ask(*commands)

    async def release(self, *, tenant_id: UUID, call_id: UUID, refund: int, levels: Sequence[Level]) -> None:
        """End the call's concurrent place and give `refund` tokens back."""
        arguments = release_arguments(tenant_id=tenant_id, call_id=call_id, refund=refund, levels=levels)
        [answer] = await self._line.ask(("EVAL", *arguments))
        if isinstance(answer, Exception):
            raise answer


def release_arguments(*, tenant_id: UUID, call_id: UUID, refund: int, levels: Sequence[Level]) -> list[Any]:
    """What EVAL needs to end a call's concurrent place and give `refund` tokens back (negative: take more).

    For a worker, which sends it in the pipeline of its last message.
    """
    keys, limits = [], []
    for level in levels:
        prefix = _prefix(tenant_id, level)
        keys += [f"{prefix}:tpm", f"{prefix}:calls"]
        limits.append(level.rates.tokens_per_minute)
    return [_RELEASE, len(keys), *keys, call_id.hex, refund, *limits]


def _admission(answer: Any, levels: Sequence[Level]) -> Admission | Exception:
    if isinstance(answer, Exception):
        return answer
    if answer[0] != b"ok":
        return _refusal(answer, levels)
    return Admission(_headers([float(value) for value in answer[1:]], levels))


def _refusal(answer: list[Any], levels: Sequence[Level]) -> RateLimited:
    kind, level, limit = answer[0].decode(), levels[answer[1]], answer[2]
    left, wait_ms = float(answer[3]), float(answer[4])
    what = {"requests": "requests per minute", "tokens": "tokens per minute", "concurrent": "concurrent calls"}[kind]
    headers = {"retry-after-ms": str(math.ceil(wait_ms)), "retry-after": str(max(1, math.ceil(wait_ms / 1000)))}
    if kind != "concurrent":
        headers |= _header(kind, limit, left, wait_ms)
    return RateLimited(
        f"Rate limit reached for this {level.name}: {limit} {what}, {max(0, math.floor(left))} left. "
        f"Try again in {_duration(wait_ms)}.",
        data={"limit": {"level": level.name, "kind": what, "limit": limit, "retry_after_ms": math.ceil(wait_ms)}},
        headers=headers,
    )


def _header(kind: str, limit: int, left: float, reset_ms: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(max(0, math.floor(left))),
        f"x-ratelimit-reset-{kind}": _duration(reset_ms),
    }


def _headers(left: list[float], levels: Sequence[Level]) -> dict[str, str]:
    """Those of the level that is nearest to its limit, in OpenAI's names and the draft RateLimit fields."""
    headers: dict[str, str] = {}
    policies, states = [], []
    for position, (kind, short) in enumerate((("requests", "rpm"), ("tokens", "tpm"))):
        at = [
            (
                left[index * 2 + position],
                level.rates.requests_per_minute if kind == "requests" else level.rates.tokens_per_minute,
            )
            for index, level in enumerate(levels)
        ]
        limited = [(value, limit) for value, limit in at if limit]
        if limited:
            value, limit = min(limited)
            reset_ms = max(0.0, (limit - value) * 60_000 / limit)
            headers |= _header(kind, limit, value, reset_ms)
            policies.append(f'"{short}";q={limit};w=60')
            states.append(f'"{short}";r={max(0, math.floor(value))};t={math.ceil(reset_ms / 1000)}')
    if policies:
        headers |= {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}
    return headers
