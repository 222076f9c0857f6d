"""A month of calls that were never made: how many, when, whose, how large, how slow, and which of them failed.

The same seed makes the same month, shifted to end now, so that pages look alike from one demo to the next.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from .questions import QUESTIONS, DemoQuestion

#: The allocation tag of what is made up.
TAG = "atrium.demo"
#: So that there is always a day of the month before, whose statement is closed.
DAYS = 31
#: Share of a working day's calls by hour (UTC), and the calls of a working day.
_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 17, 13, 15, 18, 17, 14, 10, 7, 5, 4, 3, 2, 1)
_WORKING_DAY, _WEEKEND_SHARE = 62, 0.35
#: Days ago → hours (UTC) in which the model's server was in trouble.
_TROUBLE = {9: range(13, 16), 2: range(9, 11)}
_FAILURES = ("upstream_timeout", "upstream_timeout", "upstream_error", "upstream_rate_limited", "deadline_exceeded")
_USERS = tuple(f"{name}@acme.example" for name in (
    "amelia", "benedikt", "chiara", "dmitri", "esra", "fatou", "gustav", "hanae", "ines", "jonas", "kwame", "leila",
))  # fmt: skip


@dataclass(frozen=True)
class PastKey:
    """A key that the calls came by, its allocation tag, and its share of them."""

    name: str
    team: str
    share: int
    embeds: bool = False


KEYS = (
    PastKey("Website assistant", "support", 55),
    PastKey("Service desk", "service", 30),
    PastKey("Nightly sync", "platform", 15, embeds=True),
)


@dataclass(frozen=True)
class PastCall:
    """A call that was never made. `failure`: the error's code, empty where it was answered."""

    id: uuid.UUID
    at: datetime
    key: PastKey
    end_user: str
    question: DemoQuestion
    input_tokens: int
    output_tokens: int
    latency_ms: float
    failure: str = ""


def past_calls(*, now: datetime, seed: int = 40) -> Iterator[PastCall]:
    """The calls of the 31 days before `now`, oldest first."""
    dice = random.Random(seed)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for ago in range(DAYS, -1, -1):
        day = today - timedelta(days=ago)
        moments = sorted(_moment(day, dice) for _ in range(_calls_on(day, ago, dice)))
        yield from (_call(at, ago, dice) for at in moments if at < now - timedelta(minutes=2))


def _calls_on(day: datetime, ago: int, dice: random.Random) -> int:
    """More from week to week, fewer on weekends."""
    usual = _WORKING_DAY * (_WEEKEND_SHARE if day.weekday() > 4 else 1)
    return round(usual * (1.25 - 0.5 * ago / DAYS) * dice.uniform(0.85, 1.15))


def _moment(day: datetime, dice: random.Random) -> datetime:
    [hour] = dice.choices(range(24), _HOURS)
    return day + timedelta(hours=hour, seconds=dice.uniform(0, 3600))


def _call(at: datetime, ago: int, dice: random.Random) -> PastCall:
    trouble = at.hour in _TROUBLE.get(ago, ())
    [key] = dice.choices(KEYS, [key.share for key in KEYS])
    failed = not key.embeds and dice.random() < (0.45 if trouble else 0.008)
    return PastCall(
        id=_id_at(at, dice),
        at=at,
        key=key,
        # A few people ask most of what is asked.
        end_user="" if key.embeds else _USERS[min(int(dice.expovariate(0.35)), len(_USERS) - 1)],
        question=dice.choice(QUESTIONS),
        input_tokens=dice.randint(400, 3_000) if key.embeds else dice.randint(3_000, 11_000),
        output_tokens=0 if key.embeds or failed else dice.randint(12, 160),
        latency_ms=round((60 if key.embeds else 700) * dice.lognormvariate(0, 0.45) * (4 if trouble else 1), 3),
        failure=dice.choice(_FAILURES) if failed else "",
    )


def _id_at(at: datetime, dice: random.Random) -> uuid.UUID:
    """A UUIDv7 of that moment: lists are ordered by id. Not from the seed, or a second demo would make the same ids."""
    milliseconds = int(at.timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | uuid.uuid4().int & (1 << 76) - 1 & ~(0x3 << 62) | 0x2 << 62)
