"""Atrium as the gateway under test: everything on, ten tenants with a key each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.load import Target


@contextmanager
def atrium_target(*, upstream_url: str) -> Iterator[Target | None]:
    """Yield a running Atrium whose model is served by `upstream_url`, or None where there is none to measure.

    It is one that already runs: ATRIUM_BENCH_URL (ends in /v1), ATRIUM_BENCH_KEYS (separated by spaces) and
    ATRIUM_BENCH_MODEL (default `fake`). Whoever started it gave its deployment the same upstream, whose port
    BENCH_UPSTREAM_PORT fixes.
    """
    base_url = os.environ.get("ATRIUM_BENCH_URL", "")
    if not base_url:
        yield None
        return
    keys = tuple(os.environ["ATRIUM_BENCH_KEYS"].split())
    model = os.environ.get("ATRIUM_BENCH_MODEL", "fake")
    yield Target(name="atrium", base_url=base_url.rstrip("/"), keys=keys, model=model)
