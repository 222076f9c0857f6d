"""What the script's answer says to a client: rate-limit headers, and refusals that say which limit, used, and when again."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tenants.errors import AtriumError

from .levels import Level, Rates

_NAMES = {"key": "API key", "tenant": "tenant", "user": "end user"}


class RateLimited(AtriumError):
    """A rate or concurrency limit: says which, of whom, the limit, what is used of it, and when to come back."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class Used(NamedTuple):
    """What a level's window holds: requests, tokens, and the milliseconds until it is empty."""

    requests: int
    tokens: int
    empty_in_ms: int


class Verdict(NamedTuple):
    """What the script found: `ok`, or the kind of limit that refuses; times in milliseconds, `now` by Redis' clock."""

    kind: str
    level: int
    used: int
    wait_ms: int
    now: int
    windows: list[Used]


def read(answer: Sequence[Any]) -> Verdict:
    """The script's answer."""
    kind, level, used, wait, now, *counts = answer
    windows = [Used(*counts[at : at + 3]) for at in range(0, len(counts), 3)]
    return Verdict(kind.decode(), level, used, wait, now, windows)


def refusal(verdict: Verdict, levels: Sequence[Level], *, tokens: int) -> RateLimited:
    """The error for a verdict that is not `ok`; `tokens` is what the call would have taken."""
    level, kind = levels[verdict.level], verdict.kind
    what = _NAMES[level.name]
    limit, of_what = _limit(level.rates, kind)
    data = {"level": level.name, "kind": of_what, "limit": limit, "used": verdict.used}
    headers = headers_of(verdict, levels)
    if kind == "size":
        return RateLimited(
            f"Request too large for this {what}: it may take {tokens} tokens, the limit is {limit} tokens per minute. "
            "Send a shorter prompt or ask for fewer max_tokens; an admin can ask for a higher limit.",
            data={"limit": {**data, "requested": tokens}},
            headers={**headers, "x-should-retry": "false"},
        )
    wait = duration(verdict.wait_ms)
    return RateLimited(
        f"Rate limit reached for this {what}: {limit} {of_what}, {verdict.used} used. "
        + (f"Try again in {wait}." if kind != "concurrent" else "Try again when one of them has ended.")
        + " Spread your requests, or ask for a higher limit.",
        data={"limit": {**data, "retry_after_ms": verdict.wait_ms, "resets_in_ms": _resets(verdict)}},
        headers={
            **headers,
            "retry-after-ms": str(verdict.wait_ms),
            "retry-after": str(max(1, math.ceil(verdict.wait_ms / 1000))),
        },
    )


def _limit(rates: Rates, kind: str) -> tuple[int, str]:
    match kind:
        case "requests":
            return rates.requests_per_minute, "requests per minute"
        case "concurrent":
            return rates.concurrent_calls, "concurrent calls"
    return rates.tokens_per_minute, "tokens per minute"


def _resets(verdict: Verdict) -> int:
    """Of concurrent calls nobody knows when they end, but for the one that is waited for."""
    return verdict.wait_ms if verdict.kind == "concurrent" else verdict.windows[verdict.level].empty_in_ms


def headers_of(verdict: Verdict, levels: Sequence[Level]) -> dict[str, str]:
    """Those of the level that is nearest to its limit, in OpenAI's names and the draft RateLimit fields.

    `reset` is when the window is empty again, if nothing more is taken.
    """
    requests = [
        (level.rates.requests_per_minute - used.requests, level.rates.requests_per_minute, used)
        for level, used in zip(levels, verdict.windows, strict=True)
        if level.rates.requests_per_minute
    ]
    tokens = [
        (level.rates.tokens_per_minute - used.tokens, level.rates.tokens_per_minute, used)
        for level, used in zip(levels, verdict.windows, strict=True)
        if level.rates.tokens_per_minute
    ]
    headers: dict[str, str] = {}
    policies, states = [], []
    for kind, short, at in (("requests", "rpm", requests), ("tokens", "tpm", tokens)):
        if at:
            left, limit, used = min(at)
            left, reset_ms = max(0, left), used.empty_in_ms if left < limit else 0
            headers[f"x-ratelimit-limit-{kind}"] = str(limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(left)
            headers[f"x-ratelimit-reset-{kind}"] = duration(reset_ms)
            policies.append(f'"{short}";q={limit};w=60')
            states.append(f'"{short}";r={left};t={-(-reset_ms // 1000)}')
    if policies:
        headers["RateLimit-Policy"] = ", ".join(policies)
        headers["RateLimit"] = ", ".join(states)
    return headers


def duration(milliseconds: int) -> str:
    """As OpenAI writes it: `12ms`, `1.5s`, `6m0s`."""
    if milliseconds < 1000:
        return f"{math.ceil(milliseconds)}ms"
    minutes, seconds = divmod(milliseconds / 1000, 60)
    return f"{int(minutes)}m{int(seconds)}s" if minutes else f"{seconds:.3g}s"
