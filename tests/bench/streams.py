"""Streams at the pace of a real model: what Atrium adds to each chunk, and a thousand of them at once.

    python -m tests.bench.streams

`paced.chunk_delay_p95_ms`: from a chunk's leaving the model's server to its arrival at the client, 16 streams that write
every 20 ms, through Atrium; `paced.direct_p95_ms` is the same without it. `streams1000.*`: a thousand streams of ten
seconds, begun within five, on one web and one worker process: how many arrived whole, the time to the first token, and
the resident memory of both processes at its highest.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
import psutil

from tests.bench.atrium import TENANTS, RunningAtrium, running_atrium
from tests.bench.processes import BenchError, free_port, running, stop_on_sigterm
from tests.bench.upstream import answers

PACED, PACED_CHUNKS, PACED_MS = 16, 250, 20
MANY, MANY_CHUNKS, MANY_MS, MANY_BEGIN_SECONDS = 1000, 20, 500, 5.0
_TIMEOUT = aiohttp.ClientTimeout(total=60)


@dataclass
class Stream:
    """What one client saw: seconds to the first token, and each chunk's time under way in ms."""

    first_token: float = 0.0
    delays_ms: list[float] = field(default_factory=list)
    done: bool = False


def main() -> int:
    """Run both and print their metrics; returns the exit status."""
    stop_on_sigterm()
    try:
        with paced_upstream() as upstream, running_atrium() as atrium:
            keys = _tenants(atrium, upstream)
            asyncio.run(_all_metrics(atrium, upstream, keys))
    except BenchError as problem:
        print(f"streams bench: {problem}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def paced_upstream() -> Iterator[str]:
    """The server that stamps its chunks; yields its base URL."""
    port = free_port()
    base_url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, str(_here("paced_upstream.py")), str(port)]
    with running("paced-upstream", command, ready=lambda _log: answers(base_url), timeout=20):
        yield base_url


def _here(name: str) -> str:
    return __file__.rsplit("/", 1)[0] + "/" + name


def _tenants(atrium: RunningAtrium, upstream: str) -> list[str]:
    atrium.manage(
        "register_model", "--name", "paced", "--base-url", upstream, "--input-price", "1", "--output-price", "2",
        "--context-window", "8000", "--max-output-tokens", "1000",
    )  # fmt: skip
    return [atrium.tenant(f"streams-{number}", ["paced"]) for number in range(TENANTS)]


async def _all_metrics(atrium: RunningAtrium, upstream: str, keys: list[str]) -> None:
    through = f"{atrium.url}/v1"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=_TIMEOUT) as session:
        await _paced(session, through, keys, streams=2)  # warm
        direct = await _paced(session, upstream, keys)
        paced = await _paced(session, through, keys)
        _print("paced.direct_p95_ms", _p95([delay for stream in direct for delay in stream.delays_ms]))
        _print("paced.chunk_delay_p95_ms", _p95([delay for stream in paced for delay in stream.delays_ms]))
        await _thousand(session, atrium, through, keys)


async def _paced(session: aiohttp.ClientSession, url: str, keys: list[str], streams: int = PACED) -> list[Stream]:
    asked = [_stream(session, url, keys[n % len(keys)], PACED_CHUNKS, PACED_MS, n * 0.02) for n in range(streams)]
    found = await asyncio.gather(*asked)
    if not all(stream.done for stream in found):
        raise BenchError("a paced stream did not arrive whole")
    return found


async def _thousand(session: aiohttp.ClientSession, atrium: RunningAtrium, url: str, keys: list[str]) -> None:
    watching = asyncio.create_task(_highest_resident(atrium))
    asked = [
        _stream(session, url, keys[n % len(keys)], MANY_CHUNKS, MANY_MS, n * MANY_BEGIN_SECONDS / MANY)
        for n in range(MANY)
    ]
    found = await asyncio.gather(*asked)
    watching.cancel()
    highest = await watching
    _print("streams1000.completed", sum(stream.done for stream in found))
    _print("streams1000.first_token_p95_ms", _p95([stream.first_token * 1000 for stream in found]))
    _print("streams1000.chunk_delay_p95_ms", _p95([delay for stream in found for delay in stream.delays_ms]))
    _print("streams1000.rss_mb", round(highest / 2**20))


async def _highest_resident(atrium: RunningAtrium) -> int:
    """Bytes of the web and the generation worker process together, at their highest, until it is cancelled."""
    processes = [psutil.Process(atrium.stack.processes[name].pid) for name in ("web", "generation")]
    highest = 0
    try:
        while True:
            highest = max(highest, sum(process.memory_info().rss for process in processes))
            await asyncio.sleep(0.2)
    except asyncio.CancelledError:
        return highest


async def _stream(
    session: aiohttp.ClientSession, url: str, key: str, chunks: int, every_ms: int, after: float
) -> Stream:
    seen = Stream()
    question = f"chunks={chunks} every_ms={every_ms} after={after}"
    body = {"model": "paced", "stream": True, "messages": [{"role": "user", "content": question}]}
    await asyncio.sleep(after)
    started = time.monotonic()
    async with session.post(f"{url}/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        if answer.status != 200:
            return seen
        async for line in answer.content:
            _take(seen, line, started)
    seen.done = seen.done and len(seen.delays_ms) == chunks
    return seen


def _take(seen: Stream, line: bytes, started: float) -> None:
    now = time.monotonic()
    payload = line.removeprefix(b"data: ").strip()
    if payload == b"[DONE]":
        seen.done = True
        return
    if not payload.startswith(b"{"):
        return
    for choice in orjson.loads(payload).get("choices") or ():
        if said := choice["delta"].get("content"):
            seen.first_token = seen.first_token or now - started
            seen.delays_ms.append((now - float(said)) * 1000)


def _p95(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=20)[-1], 1) if len(values) > 1 else float("inf")


def _print(name: str, value: float) -> None:
    print(f"metric {name} {value}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
