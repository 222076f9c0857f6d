"""What this process knows of the deployments: breakers, rests, speeds, and the places of its own calls.

The common case costs no round trip: the board is read again at most once a second, in the background, and written
when something failed, came back, or was measured (together, once a second). A call waits for Redis only where its model
counts calls (`least_busy`, `max_concurrent`), where it is about to try a deployment whose breaker was open, and to
report a failure. Without Redis every deployment counts as closed and every place as free.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import redis.asyncio
import structlog
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tenants.ids import uuid7

from ..models import DeploymentBase
from . import scripts
from .underway import Underway

log = structlog.get_logger("atrium.routing")

_FRESH_SECONDS = 1.0
#: A board older than this is read before a call goes on, if Redis is quick about it.
_STALE_SECONDS = 5.0
_PATIENCE_SECONDS = 0.25
_FLUSH_SECONDS = 1.0
_RELEASE_SECONDS = 0.02
_LEASE_SECONDS = 15.0
_HALF_LIFE_SECONDS = 30.0
#: Below this weight a measurement says nothing any more.
_LEAST_WEIGHT = 0.2


@dataclass(frozen=True)
class State:
    """A breaker that is not closed, or a rest that was asked for; `until` by this process's monotonic clock."""

    kind: str
    until: float


@dataclass(frozen=True)
class Place:
    """A call's place with a deployment."""

    deployment: str
    call: str


class Board:
    """One for each event loop."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._states: dict[str, State] = {}
        self._speeds: dict[str, tuple[float, float, float]] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._successes: dict[str, int] = {}
        self._samples: dict[str, list[float]] = {}
        self._held: dict[Place, float] = {}
        self._released: list[Place] = []
        self._timers: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.underway = Underway(self._tell, lambda: self._later("underway", _FLUSH_SECONDS))

    # reading ----------------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Have the board read again where it is old; wait for it only where it is very old."""
        age = time.monotonic() - self._read_at
        if age < _FRESH_SECONDS:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        if age > _STALE_SECONDS:
            await asyncio.wait([self._reading], timeout=_PATIENCE_SECONDS)

    async def _read(self) -> None:
        try:
            now_ms, states, speeds = await self._redis.eval(*scripts.snapshot())
        except (RedisError, OSError):
            log.warning("the breakers cannot be read; all deployments count as healthy", exc_info=True)
            self._states.clear()
            # Not at once again: every call would try.
            self._read_at = time.monotonic()
            return
        self._read_at = time.monotonic()
        offset = self._read_at - now_ms / 1000
        pairs = zip(states[::2], states[1::2], strict=True)
        self._states = {name.decode(): _state(value.decode(), offset) for name, value in pairs}
        pairs = zip(speeds[::2], speeds[1::2], strict=True)
        self._speeds = {name.decode(): _speed(value.decode(), offset) for name, value in pairs}

    def wait_for(self, deployment: str) -> float:
        """Seconds until it may be asked; 0 where it may now, if only by the one that probes it."""
        now = time.monotonic()
        found = [self._states.get(deployment), self._states.get(f"{deployment}:rest")]
        return max((state.until - now for state in found if state is not None), default=0.0)

    def is_open(self, deployment: str) -> bool:
        """Whether its breaker is open. One that merely rests is waited for."""
        state = self._states.get(deployment)
        return state is not None and state.until > time.monotonic()

    def half_open(self, deployment: str) -> bool:
        """Whether its breaker was open, and long enough."""
        state = self._states.get(deployment)
        return state is not None and state.until <= time.monotonic()

    def speed(self, deployment: str, kind: str) -> float | None:
        """Its milliseconds of late, `first` to the first token or `whole`; None where nobody measured."""
        known = self._speeds.get(f"{deployment}:{kind}")
        if known is None:
            return None
        value, weight, at = known
        return value if weight * 0.5 ** ((time.monotonic() - at) / _HALF_LIFE_SECONDS) >= _LEAST_WEIGHT else None

    # breakers ---------------------------------------------------------------------------------------------------------

    def succeeded(self, deployment: str) -> None:
        """An answer came. Only a breaker that was open needs to hear of it at once."""
        self._successes[deployment] = self._successes.get(deployment, 0) + 1
        if self._states.pop(deployment, None) is not None:
            self._spawn(self._tell(scripts.breaker("ok", deployment)))

    async def failed(self, deployment: str) -> None:
        """It failed, by its own fault."""
        arguments = (
            self._successes.pop(deployment, 0),
            settings.BREAKER_FAILURES,
            settings.BREAKER_FAILURE_SHARE,
            int(settings.BREAKER_OPEN_SECONDS * 1000),
            int(settings.BREAKER_LONGEST_SECONDS * 1000),
        )
        await self._learn_state(deployment, scripts.breaker("fail", deployment, *arguments))

    async def rests(self, deployment: str, seconds: float) -> None:
        """It asked to be left alone for so long; every worker does."""
        milliseconds = max(1, int(min(seconds, settings.BREAKER_LONGEST_SECONDS) * 1000))
        await self._learn_state(f"{deployment}:rest", scripts.breaker("rest", deployment, milliseconds))

    async def may_probe(self, deployment: str) -> bool:
        """Whether this call is the one that tries a deployment whose breaker was open."""
        answer = await self._ask(scripts.breaker("probe", deployment))
        if answer is None:
            return True
        if not answer[1]:
            self._states.pop(deployment, None)
        return bool(answer[2])

    async def _learn_state(self, name: str, arguments: list[Any]) -> None:
        answer = await self._ask(arguments)
        if answer is None:
            return
        now_ms, state, _ = answer
        if state:
            self._states[name] = _state(state.decode(), time.monotonic() - now_ms / 1000)

    # places -----------------------------------------------------------------------------------------------------------

    async def take(self, rows: Sequence[DeploymentBase], *, least_busy: bool) -> tuple[int, Place | None] | None:
        """Take a place with one of `rows`: its index and the place to `leave`; None where all are full."""
        candidates = [(str(row.pk), row.max_concurrent or 0, row.weight) for row in rows]
        call = uuid7().hex
        mode = "least" if least_busy else "first"
        answer = await self._ask(scripts.take(call, int(_LEASE_SECONDS * 1000), mode, candidates))
        if answer is None:
            return 0, None
        if answer[0] < 0:
            return None
        place = Place(candidates[answer[0]][0], call)
        self._held[place] = time.monotonic()
        self._later("renew", _LEASE_SECONDS / 3)
        return answer[0], place

    def leave(self, place: Place) -> None:
        """The call is over. Told to Redis together with others that end in the same moment."""
        self._held.pop(place, None)
        self._released.append(place)
        self._later("release", _RELEASE_SECONDS)

    async def _release(self) -> None:
        places, self._released = self._released, []
        await self._tell(*(["ZREM", scripts.places(place.deployment), place.call] for place in places))

    async def _renew(self) -> None:
        by_deployment: dict[str, list[str]] = {}
        for place in self._held:
            by_deployment.setdefault(place.deployment, []).append(place.call)
        lease = int(_LEASE_SECONDS * 1000)
        await self._tell(*(scripts.renew(name, lease, calls) for name, calls in by_deployment.items()))
        if self._held:
            self._later("renew", _LEASE_SECONDS / 3)

    # speeds -----------------------------------------------------------------------------------------------------------

    def measured(self, deployment: str, kind: str, milliseconds: float) -> None:
        """Remember how long a call took; told to Redis once a second, summed."""
        sample = self._samples.setdefault(f"{deployment}:{kind}", [0.0, 0])
        sample[0] += milliseconds
        sample[1] += 1
        self._later("learn", _FLUSH_SECONDS)

    async def _learn(self) -> None:
        samples, self._samples = self._samples, {}
        await self._tell(scripts.learn([(name, total, int(count)) for name, (total, count) in samples.items()]))

    # plumbing ---------------------------------------------------------------------------------------------------------

    def _later(self, what: str, seconds: float) -> None:
        """Do it once, soon, for everything that has come together by then."""
        if what not in self._timers:
            self._timers.add(what)
            asyncio.get_running_loop().call_later(seconds, self._due, what)

    def _due(self, what: str) -> None:
        self._timers.discard(what)
        jobs = {"release": self._release, "renew": self._renew, "learn": self._learn, "underway": self.underway.flush}
        self._spawn(jobs[what]())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle_down(self) -> None:
        """Tell Redis everything that waits to be told: before a process ends, and in tests."""
        if self._released:
            await self._release()
        if self._samples:
            await self._learn()
        if self.underway:
            await self.underway.flush()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _ask(self, arguments: list[Any]) -> list[Any] | None:
        """A script's answer; None where Redis is away or slow: routing goes on without."""
        try:
            return await self._redis.eval(*arguments)
        except (RedisError, OSError):
            log.warning("routing goes on without Redis", exc_info=True)
            return None

    async def _tell(self, *commands: Sequence[Any]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*(command if command[0] == "ZREM" else ("EVAL", *command)))
                await pipe.execute()
        except (RedisError, OSError):
            log.warning("routing could not tell Redis", exc_info=True)


def _state(text: str, offset: float) -> State:
    kind, until, _ = text.split(":")
    return State(kind, int(until) / 1000 + offset)


def _speed(text: str, offset: float) -> tuple[float, float, float]:
    value, weight, at = text.split(":")
    return float(value), float(weight), int(at) / 1000 + offset


_boards: WeakKeyDictionary[asyncio.AbstractEventLoop, Board] = WeakKeyDictionary()


def board() -> Board:
    """The running loop's board."""
    loop = asyncio.get_running_loop()
    if loop not in _boards:
        _boards[loop] = Board(connect(settings.REDIS_URL))
    return _boards[loop]


def connect(url: str) -> redis.asyncio.Redis:
    """A client that would rather give up than keep a call waiting."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=8,
        timeout=_PATIENCE_SECONDS,
        socket_timeout=_PATIENCE_SECONDS,
        socket_connect_timeout=_PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)
