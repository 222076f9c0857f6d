"""How exactly the limiter keeps its rate while four processes ask for half as much again.

    python -m tests.bench.rate

Prints `metric rate.error_pct`: the larger of what the fullest 60 seconds had above the limit, and of how much longer than
60 seconds it took from the first request that passed to the first that passed when as many as the limit had. The times
are Redis' own, of each request that passed.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from bisect import bisect_left
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from config.services import embedded
from tenants.ids import uuid7

LIMIT = 3_000
PROCESSES = 4
OFFERED = 1.5  # of the limit
SECONDS = 66.0
_WINDOW_MS = 60_000
_AT_ONCE = 5


@dataclass(frozen=True)
class Measured:
    """`most`: of requests that passed in any 60 seconds. `period_ms`: until one more than the limit had passed."""

    passed: int
    most: int
    period_ms: int

    @property
    def error_pct(self) -> float:
        """Above the limit, or below it, whichever is more."""
        above = (self.most - LIMIT) / LIMIT
        below = 1 - _WINDOW_MS / self.period_ms
        return 100 * max(above, below, 0.0)


def measure(redis_url: str) -> Measured:
    """Ask for `SECONDS` from `PROCESSES` processes, for one key of one tenant."""
    tenant_id, key_id = uuid7(), uuid7()
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.map(_ask, *zip(*[(redis_url, tenant_id, key_id)] * PROCESSES, strict=True))
        times = sorted(at for times in found for at in times)
    if len(times) <= LIMIT:
        raise RuntimeError(
            f"Only {len(times)} requests passed in {SECONDS} s: the machine is too busy to reach the limit."
        )
    most = max(bisect_left(times, at + _WINDOW_MS) - place for place, at in enumerate(times))
    return Measured(len(times), most, times[LIMIT] - times[0])


def _ask(redis_url: str, tenant_id: UUID, key_id: UUID) -> list[int]:
    """One process: the times of its requests that passed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    return asyncio.run(_asking(redis_url, tenant_id, key_id))


async def _asking(redis_url: str, tenant_id: UUID, key_id: UUID) -> list[int]:
    from billing.limits import Level, Limiter, RateLimited, Rates
    from tenants.redis_line import RedisLine

    levels = [Level("key", key_id, Rates(LIMIT, 0, 0)), Level("tenant", tenant_id, Rates(10 * LIMIT, 0, 0))]
    passed: list[int] = []
    began = time.monotonic()
    pause = 60 / (LIMIT * OFFERED / PROCESSES) * _AT_ONCE
    async with RedisLine(redis_url) as line:
        limiter = Limiter(line)
        for turn in range(int(SECONDS / pause)):
            await asyncio.sleep(max(0.0, began + turn * pause - time.monotonic()))
            asked = [
                limiter.admit(tenant_id=tenant_id, call_id=uuid7(), tokens=0, levels=levels, lease_ms=1_000)
                for _ in range(_AT_ONCE)
            ]
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(answer, BaseException):
                    if not isinstance(answer, RateLimited):
                        raise answer
                else:
                    passed.append(answer.taken_at)
    return passed


def report(measured: Measured) -> None:
    """Print the figure, and what it was made of."""
    print(
        f"{measured.passed} of {LIMIT} a minute passed in {SECONDS:.0f} s; at most {measured.most} in any 60 s; "
        f"the limit's worth took {measured.period_ms / 1000:.2f} s"
    )
    print(f"metric rate.error_pct {measured.error_pct:.2f}")


def main() -> int:
    """Measure against a Redis of its own."""
    os.environ.setdefault("SECRET_KEY", "a benchmark")
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as services:
        os.environ["REDIS_URL"] = services.redis_url
        measured = measure(services.redis_url)
    report(measured)
    return 0 if measured.error_pct <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
