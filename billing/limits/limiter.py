"""Admits and releases calls: requests, tokens and a concurrent place from every level, or nothing from any.

A place is held under a lease, so a worker that dies frees it. Settlement gives back what was estimated too high, and
takes what was estimated too low.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, NamedTuple
from uuid import UUID

import redis
from redis.exceptions import NoScriptError

from tenants.batching import Batcher
from tenants.redis_line import RedisLine

from .answers import Verdict, headers_of, read, refusal
from .levels import Level
from .windows import GIVE_BACK, SLOT_MS, TAKE, TAKE_MORE

_TAKE_SHA = sha1(TAKE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Admission:
    """What was taken, to be given back at the end, and the rate-limit headers of the answer.

    `taken_at`: milliseconds, by Redis' clock.
    """

    headers: dict[str, str]
    taken_at: int = 0


@dataclass(frozen=True)
class _Request:
    """One call that asks for admission: keys and arguments of the script, and the levels they speak of."""

    keys: list[str]
    arguments: list[Any]
    levels: Sequence[Level]
    tokens: int

    def answered(self, answer: Any) -> Admission | Exception:
        """What the script said to it."""
        if isinstance(answer, Exception):
            return answer
        verdict = read(answer)
        if verdict.kind != "ok":
            return refusal(verdict, self.levels, tokens=self.tokens)
        return _admission(verdict, self.levels)


class Limiter:
    """One for each event loop. Calls that ask together share a round trip.

    Args:
        slot_ms: the length of a window's slots; a window has 120.
    """

    def __init__(self, line: RedisLine, *, slot_ms: int = SLOT_MS) -> None:
        self._line = line
        self._slot_ms = slot_ms
        self._admit: Batcher[_Request, Admission] = Batcher(self._admit_batch, most=64)

    async def admit(
        self, *, tenant_id: UUID, call_id: UUID, tokens: int, levels: Sequence[Level], lease_ms: int
    ) -> Admission:
        """Take one request, `tokens` and a concurrent place from every level, or nothing.

        Raises:
            RateLimited: a level is at its limit (429 with retry-after).
            RedisError: Redis is away.
        """
        taking = [call_id.hex, 1, tokens, lease_ms]
        return await self._admit(_request(tenant_id, levels, taking, tokens=tokens, slot_ms=self._slot_ms))

    async def look(self, *, tenant_id: UUID, levels: Sequence[Level]) -> Admission:
        """The headers of an answer for which nothing is taken."""
        return await self._admit(_request(tenant_id, levels, _NOTHING, slot_ms=self._slot_ms))

    async def _admit_batch(self, batch: Sequence[_Request]) -> list[Admission | Exception]:
        answers = await self._run(batch)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # Redis was started anew: a script that it does not know did nothing.
            await self._line.ask(("SCRIPT", "LOAD", TAKE))
            missing = [one for one, answer in zip(batch, answers, strict=True) if isinstance(answer, NoScriptError)]
            late = iter(await self._run(missing))
            answers = [next(late) if isinstance(answer, NoScriptError) else answer for answer in answers]
        return [one.answered(answer) for answer, one in zip(answers, batch, strict=True)]

    async def _run(self, batch: Sequence[_Request]) -> list[Any]:
        commands = [("EVALSHA", _TAKE_SHA, len(one.keys), *one.keys, *one.arguments) for one in batch]
        return await self._line.ask(*commands)

    async def release(
        self, *, tenant_id: UUID, call_id: UUID, refund: int, levels: Sequence[Level], taken_at: int
    ) -> None:
        """End the call's concurrent place and give `refund` tokens back."""
        arguments = release_arguments(
            tenant_id=tenant_id,
            call_id=call_id,
            refund=refund,
            levels=levels,
            taken_at=taken_at,
            slot_ms=self._slot_ms,
        )
        [answer] = await self._line.ask(("EVAL", *arguments))
        if isinstance(answer, Exception):
            raise answer


#: No place among the concurrent calls, no requests, no tokens, no lease.
_NOTHING = ["", 0, 0, 0]


def take_now(client: redis.Redis, *, tenant_id: UUID, levels: Sequence[Level], requests: int) -> Admission:
    """Take requests from a thread, for an answer that is made at once; none: a look.

    Raises:
        RateLimited: a level is at its limit (429 with retry-after).
        RedisError: Redis is away.
    """
    request = _request(tenant_id, levels, ["", requests, 0, 0])
    keys_and_arguments = [*request.keys, *request.arguments]
    try:
        answer = client.evalsha(_TAKE_SHA, len(request.keys), *keys_and_arguments)
    except NoScriptError:
        answer = client.eval(TAKE, len(request.keys), *keys_and_arguments)
    found = request.answered(answer)
    if isinstance(found, Exception):
        raise found
    return found


def release_arguments(
    *,
    tenant_id: UUID,
    call_id: UUID,
    refund: int,
    levels: Sequence[Level],
    taken_at: int,
    slot_ms: int = SLOT_MS,
) -> list[Any]:
    """What EVAL needs to end a call's concurrent place and give `refund` tokens back (negative: take more).

    For a worker, which sends it in the pipeline of its last message.
    """
    sets = [_key(tenant_id, level, "calls") for level in levels if level.rates.concurrent_calls]
    windows = [_key(tenant_id, level, "window") for level in levels if level.rates.tokens_per_minute and refund]
    counts = [len(sets) + len(windows), *sets, *windows, call_id.hex, len(sets), abs(refund)]
    if refund < 0:
        return [TAKE_MORE, *counts, slot_ms]
    return [GIVE_BACK, *counts, taken_at // slot_ms]


def _request(
    tenant_id: UUID, levels: Sequence[Level], taking: list[Any], *, tokens: int = 0, slot_ms: int = SLOT_MS
) -> _Request:
    limits = []
    for level in levels:
        rates = level.rates
        limits += [rates.requests_per_minute, rates.tokens_per_minute, rates.concurrent_calls]
    return _Request(_keys(tenant_id, levels), [slot_ms, *taking, *limits], levels, tokens)


def _keys(tenant_id: UUID, levels: Sequence[Level]) -> list[str]:
    return [_key(tenant_id, level, what) for level in levels for what in ("window", "calls")]


def _key(tenant_id: UUID, level: Level, what: str) -> str:
    # The braces keep a tenant's keys on one node of a Redis cluster, as a script needs.
    return f"limits:{{{tenant_id}}}:{level.name}:{level.id}:{what}"


def _admission(verdict: Verdict, levels: Sequence[Level]) -> Admission:
    return Admission(headers_of(verdict, levels), verdict.now)


class InUse(NamedTuple):
    """What a level uses at this moment: requests and tokens of the last minute, calls under way."""

    requests: int
    tokens: int
    calls: int


def in_use(client: redis.Redis, *, tenant_id: UUID, levels: Sequence[Level]) -> list[InUse]:
    """What each level uses now, for people to look at; nothing is taken. What has no limit is not counted: 0.

    Raises:
        RedisError: Redis is away.
    """
    request = _request(tenant_id, levels, _NOTHING)
    verdict = read(client.eval(TAKE, len(request.keys), *request.keys, *request.arguments))
    with client.pipeline(transaction=False) as pipeline:
        for level in levels:
            pipeline.zcount(_key(tenant_id, level, "calls"), verdict.now, "+inf")
        calls = pipeline.execute()
    return [
        InUse(used.requests, used.tokens, under_way) for used, under_way in zip(verdict.windows, calls, strict=True)
    ]
