"""The fake model server that every gateway under test stands in front of."""

import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.processes import free_port, running, shared_file


@contextmanager
def fake_upstream() -> Iterator[str]:
    """Run the shared fake upstream and yield its base URL.

    BENCH_UPSTREAM_PORT fixes the port, for an Atrium that was started, and told its upstream, beforehand.
    """
    port = int(os.environ.get("BENCH_UPSTREAM_PORT") or free_port())
    base_url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, shared_file("upstream.py"), str(port)]
    with running("upstream", command, ready=lambda _log: answers(base_url), timeout=10):
        yield base_url


def answers(base_url: str) -> bool:
    """Whether an upstream is there."""
    try:
        with urllib.request.urlopen(f"{base_url}/models", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False
