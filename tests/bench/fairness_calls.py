"""One tenant's time to the first token while another holds a thousand slow calls, beside its time alone.

    python -m tests.bench.fairness_calls

One worker has places for a quarter of those calls, so most of them wait all the time. Prints the medians and 95th
percentiles, and `metric fairness.interactive.ratio`, the quotient of the latter.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from statistics import median, quantiles

import aiohttp

from tests.bench.atrium import RunningAtrium, running_atrium
from tests.bench.processes import BenchError, free_port, running, shared_file
from tests.bench.upstream import answers

HELD = 1000
PLACES = 256
SAMPLES = int(os.environ.get("BENCH_SAMPLES", "100"))
_BEFORE = 10
#: A slow call streams a token every half second for ten seconds; a quick one has its first at once.
_SLOW = {"TOKENS": "20", "INTER_MS": "500"}
_QUICK = {"TOKENS": "4"}


def main() -> int:
    """Run and print; 0 always, for a timing judges nothing by itself."""
    os.environ["GENERATION_PLACES"] = str(PLACES)
    with ExitStack() as exits:
        slow, quick = (exits.enter_context(_model(name, env)) for name, env in (("slow", _SLOW), ("quick", _QUICK)))
        atrium = exits.enter_context(running_atrium())
        for name, url in (("slow", slow), ("quick", quick)):
            atrium.manage(
                "register_model", "--name", name, "--base-url", url, "--input-price", "1", "--output-price", "2",
                "--context-window", "8000", "--max-output-tokens", "1000",
            )  # fmt: skip
        alone, crowded = asyncio.run(_measure(atrium))
    for label, times in (("alone", alone), (f"beside {HELD} slow calls", crowded)):
        print(f"first token {label}: p50 {median(times) * 1000:.1f} ms, p95 {_p95(times) * 1000:.1f} ms")
    print(f"metric fairness.interactive.ratio {_p95(crowded) / _p95(alone):.2f}")
    return 0


@contextmanager
def _model(name: str, env: dict[str, str]) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, shared_file("upstream.py"), str(port)]
    with running(f"upstream-{name}", command, env=env, ready=lambda _log: answers(url), timeout=10):
        yield url


async def _measure(atrium: RunningAtrium) -> tuple[list[float], list[float]]:
    """Seconds to the first token of each of the small tenant's calls, alone and beside the large one's."""
    large, small = atrium.tenant("large", ["slow"]), atrium.tenant("small", ["quick"])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await _sample(session, atrium.url, small, _BEFORE)
        alone = await _sample(session, atrium.url, small, SAMPLES // 2)
        held = [asyncio.create_task(_hold(session, atrium.url, large)) for _ in range(HELD)]
        try:
            while await _waiting(session, atrium.url) < HELD - PLACES - SAMPLES:
                await asyncio.sleep(0.5)  # the metrics are polled, as a scraper would
            crowded = await _sample(session, atrium.url, small, SAMPLES)
            print(f"then {await _waiting(session, atrium.url)} calls of the large tenant waited for a place")
        finally:
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
        while await _waiting(session, atrium.url):
            await asyncio.sleep(0.5)
        # One half before and one after, so that a machine that grows slower or faster meanwhile tells on both.
        alone += await _sample(session, atrium.url, small, SAMPLES - SAMPLES // 2)
    return alone, crowded


async def _sample(session: aiohttp.ClientSession, url: str, key: str, count: int) -> list[float]:
    return [await _first_token(session, url, key, "quick") for _ in range(count)]


async def _hold(session: aiohttp.ClientSession, url: str, key: str) -> None:
    """One slow call after the other."""
    while True:
        with suppress(aiohttp.ClientError):
            await _first_token(session, url, key, "slow")


async def _waiting(session: aiohttp.ClientSession, url: str) -> int:
    """Calls that no worker has claimed."""
    async with session.get(f"{url}/metrics") as answer:
        found = re.search(
            r'^atrium_queue_units\{queue="generation",state="queued"\} (\S+)', await answer.text(), re.MULTILINE
        )
    if found is None:
        raise BenchError("/metrics does not say how many generations are queued")
    return int(float(found[1]))


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[-1]


async def _first_token(session: aiohttp.ClientSession, url: str, key: str, model: str) -> float:
    """Seconds from the request to the first event that has content; the stream is read to its end."""
    body = {"model": model, "messages": [{"role": "user", "content": f"hello {time.monotonic_ns()}"}], "stream": True}
    started, first = time.perf_counter(), 0.0
    async with session.post(
        f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
    ) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if not first and b'"content":"word' in line.replace(b" ", b""):
                first = time.perf_counter() - started
    return first


if __name__ == "__main__":
    sys.exit(main())
