"""Load on a gateway: what is measured (`Target`), how hard (`Load`), what came out (`Figures`), by wrk.

wrk looks at status codes, not at bodies, so that the load generator stays cheap on a machine it shares with what it
measures. `verify` reads whole answers instead, before and after the timed runs: a gateway that answers 200 with an
error inside, or breaks its streams off, fails there.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.processes import BenchError, shared_file

REQUEST_TIMEOUT = 20
LAST_WORD = "word63"
FIGURES_LINE = re.compile(
    r"rps (?P<rps>[\d.]+) p50_ms (?P<p50>[\d.]+) p95_ms (?P<p95>[\d.]+) p99_ms (?P<p99>[\d.]+) "
    r"errors (?P<errors>\d+) non2xx (?P<refused>\d+)"
)


@dataclass(frozen=True)
class Target:
    """A gateway under test: `base_url` as the openai SDK takes it (it ends in /v1), `keys` used in turn."""

    name: str
    base_url: str
    keys: tuple[str, ...]
    model: str


@dataclass(frozen=True)
class Load:
    """One kind of load: the name of its figures, whether answers are streamed, how many connections ask at once."""

    name: str
    stream: bool
    connections: int


@dataclass(frozen=True)
class Figures:
    """What one timed run showed: requests answered with 2xx per second, latencies in ms, and failed requests."""

    rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def measure(target: Target, load: Load, *, seconds: int) -> Figures:
    """Ask `target` for `seconds`, every request different. Refusals (4xx, 5xx) are errors and lower the rate."""
    if (wrk := shutil.which("wrk")) is None:
        raise BenchError("wrk is not installed: `apt-get install wrk`.")
    # One thread: each wrk thread would count its questions from one, and the requests would no longer differ.
    command = [wrk, "-t1", f"-c{load.connections}", f"-d{seconds}s", f"--timeout={REQUEST_TIMEOUT}s",
               "-s", str(shared_file("chat.lua")), f"{target.base_url}/chat/completions"]  # fmt: skip
    environment = {"KEYS": " ".join(target.keys), "MODEL": target.model, "STREAM": "1" if load.stream else "0"}
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return _read(done.stdout, done.stderr, seconds)


def combine(runs: Sequence[Figures]) -> Figures:
    """Several equally long runs as one: mean rate, mean of the runs' latency percentiles, all errors."""
    return Figures(
        rps=statistics.mean(run.rps for run in runs),
        p50_ms=statistics.mean(run.p50_ms for run in runs),
        p95_ms=statistics.mean(run.p95_ms for run in runs),
        p99_ms=statistics.mean(run.p99_ms for run in runs),
        errors=sum(run.errors for run in runs),
    )


def verify(target: Target) -> None:
    """Each key gets one whole plain answer and one whole stream; BenchError says which did not."""
    for position, key in enumerate(target.keys):
        plain = json.loads(_ask(target, key, stream=False))
        if LAST_WORD not in plain["choices"][0]["message"]["content"] or not plain["usage"]["completion_tokens"]:
            raise BenchError(f"{target.name}: key {position} got an incomplete plain answer: {plain}")
        stream = _ask(target, key, stream=True)
        if LAST_WORD not in stream or '"error"' in stream or not stream.rstrip().endswith("data: [DONE]"):
            raise BenchError(f"{target.name}: key {position} got a broken stream, which ends: {stream[-300:]}")


def _ask(target: Target, key: str, *, stream: bool) -> str:
    body: dict[str, object] = {"model": target.model, "messages": [{"role": "user", "content": "Is anyone there?"}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    request = urllib.request.Request(
        f"{target.base_url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT) as response:
            return response.read().decode()
    except urllib.error.HTTPError as refusal:
        raise BenchError(
            f"{target.name} answered {refusal.code}: {refusal.read(500).decode(errors='replace')}"
        ) from refusal
    except OSError as failure:
        raise BenchError(f"{target.name} cannot be reached at {target.base_url}: {failure}") from failure


def _read(output: str, complaint: str, seconds: int) -> Figures:
    found = FIGURES_LINE.search(output)
    if found is None:
        raise BenchError(f"wrk printed no figures:\n{output}{complaint}")
    refused = int(found["refused"])
    return Figures(
        rps=max(0.0, float(found["rps"]) - refused / seconds),
        p50_ms=float(found["p50"]),
        p95_ms=float(found["p95"]),
        p99_ms=float(found["p99"]),
        errors=int(found["errors"]) + refused,
    )
