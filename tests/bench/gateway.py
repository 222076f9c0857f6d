"""What a request costs in Atrium, as a ratio to LiteLLM's proxy in front of the same fake upstream.

    python -m tests.bench.gateway

Both gateways run at once and are asked in turn, in short rounds whose order alternates, so that a noisy neighbour
meets both. Prints one `metric <name> <value>` line per figure: requests/s (of those answered with 2xx), p50 and p95 in
ms, and errors, for plain and streamed chat completions at 16 connections and plain ones at one ("alone") and at 64
("wide"). Straight to the upstream, for scale, as "direct". Exits with
1 when the benchmark cannot run or Atrium failed a request: a rate with errors in it is no figure.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from tests.bench.atrium import atrium_target
from tests.bench.litellm import litellm_target
from tests.bench.load import Figures, Load, Target, combine, measure, verify
from tests.bench.processes import BenchError, stop_on_sigterm
from tests.bench.upstream import fake_upstream

PLAIN = Load(name="plain", stream=False, connections=16)
STREAM = Load(name="stream", stream=True, connections=16)
ALONE = Load(name="alone", stream=False, connections=1)
WIDE = Load(name="wide", stream=False, connections=64)
LOADS = (PLAIN, STREAM, ALONE, WIDE)

ROUNDS = 2
ROUND_SECONDS = 5
WARM_UP_SECONDS = 2

Results = Mapping[tuple[str, Load], Figures]
Metric = tuple[str, float | int]


def main() -> int:
    """Run the comparison and print its metrics; returns the exit status."""
    stop_on_sigterm()
    # Both sides lose alike to a busy neighbour, but not exactly: whoever reads the figures should know.
    print(f"{os.cpu_count()} cores, load average before the run {os.getloadavg()[0]:.2f}", flush=True)
    try:
        with fake_upstream() as upstream_url:
            results = _compare(upstream_url)
    except BenchError as problem:
        print(f"gateway bench: {problem}", file=sys.stderr)
        return 1
    metrics = dict(_metrics(results))
    for name, value in metrics.items():
        print(f"metric {name} {value}")
    return 1 if metrics.get("atrium.errors") else 0


def _compare(upstream_url: str) -> Results:
    direct = Target(name="direct", base_url=upstream_url, keys=("none",), model="fake")
    with litellm_target(upstream_url=upstream_url) as litellm, atrium_target(upstream_url=upstream_url) as atrium:
        return measure_targets([direct, litellm, atrium])


def measure_targets(targets: Sequence[Target]) -> Results:
    """Warm up, check and measure all targets under every load, interleaved; figures by (target name, load)."""
    for target in targets:
        verify(target)
        for load in LOADS:
            measure(target, load, seconds=WARM_UP_SECONDS)
    results = {(target.name, load): figures for load in LOADS for target, figures in _interleaved(targets, load)}
    for target in targets:
        verify(target)
    return results


def _interleaved(targets: Sequence[Target], load: Load) -> Iterator[tuple[Target, Figures]]:
    runs: dict[Target, list[Figures]] = {target: [] for target in targets}
    for turn in range(ROUNDS):
        for target in targets if turn % 2 == 0 else reversed(targets):
            runs[target].append(measure(target, load, seconds=ROUND_SECONDS))
    for target in targets:
        yield target, combine(runs[target])


def _metrics(results: Results) -> Iterator[Metric]:
    names = list(dict.fromkeys(name for name, _load in results))
    for (name, load), figures in results.items():
        yield f"{name}.{load.name}.rps", round(figures.rps, 1)
        yield f"{name}.{load.name}.p50_ms", round(figures.p50_ms, 2)
        yield f"{name}.{load.name}.p95_ms", round(figures.p95_ms, 2)
        yield f"{name}.{load.name}.p99_ms", round(figures.p99_ms, 2)
    for name in names:
        yield f"{name}.errors", sum(figures.errors for (owner, _load), figures in results.items() if owner == name)
    if "atrium" in names:
        yield from _ratios(results)
    yield "gateway.errors", sum(figures.errors for figures in results.values())


def _ratios(results: Results) -> Iterator[Metric]:
    for load in (PLAIN, STREAM):
        yield f"gateway.{load.name}.ratio", round(results["atrium", load].rps / results["litellm", load].rps, 2)
    yield "gateway.p50.ratio", round(results["atrium", ALONE].p50_ms / results["litellm", ALONE].p50_ms, 3)
    # Of Atrium the slowest of a hundred, of LiteLLM the usual one.
    yield "gateway.wide.ratio", round(results["atrium", WIDE].p99_ms / results["litellm", WIDE].p50_ms, 3)


if __name__ == "__main__":
    sys.exit(main())
