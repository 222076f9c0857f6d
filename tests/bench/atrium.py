"""Atrium as the gateway under test: everything on, ten tenants with a key each."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from config.supervisor import ROOT, Stack, stack
from tests.bench.load import Target
from tests.bench.processes import BenchError

TENANTS = 10
_READY_SECONDS = 60


@dataclass(frozen=True)
class RunningAtrium:
    """A stack started for one bench."""

    stack: Stack
    platform_key: str

    @property
    def url(self) -> str:
        """Without /v1."""
        return self.stack.url

    def tenant(self, slug: str, grants: Sequence[str] = ()) -> str:
        """Make a tenant on the wide plan with a budget; returns its key."""
        wanted = {"external_id": slug, "slug": slug, "name": slug, "plan": "scale", "grants": list(grants)}
        key = str(_post(f"{self.url}/v1/platform/tenants", self.platform_key, wanted)["api_key"])
        _post(f"{self.url}/v1/budgets", key, {"name": "monthly", "limit": "1000"})
        return key

    def manage(self, *arguments: str) -> dict[str, Any]:
        """Run a management command."""
        return _manage(self.stack, *arguments)


@contextmanager
def running_atrium() -> Iterator[RunningAtrium]:
    """Start an Atrium with data of its own, removed at the end."""
    os.environ.setdefault("LOG_LEVEL", "INFO")
    bench = ROOT / "var" / "bench"
    bench.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bench, prefix="atrium-") as var, stack(var=Path(var), port=0) as running:
        _wait_until_ready(running.url)
        yield RunningAtrium(running, _manage(running, "issue_platform_key", "--name", "bench")["key"])


@contextmanager
def atrium_target(*, upstream_url: str) -> Iterator[Target]:
    """Start an Atrium of its own, with `upstream_url` as the deployment of its model, and ten tenants on a wide plan."""
    with running_atrium() as atrium:
        atrium.manage(
            "register_model", "--name", "fake", "--base-url", upstream_url, "--input-price", "1",
            "--output-price", "2", "--context-window", "8000", "--max-output-tokens", "1000",
        )  # fmt: skip
        keys = tuple(atrium.tenant(f"bench-{number}", ["fake"]) for number in range(TENANTS))
        yield Target(name="atrium", base_url=f"{atrium.url}/v1", keys=keys, model="fake")


def _post(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx2.post(url, json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)
    if answer.is_error:
        raise BenchError(f"{url}: {answer.text}")
    return dict(answer.json())


def _manage(running: Stack, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments, "--json"],
        cwd=ROOT, env=running.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(done.stderr)
    return dict(json.loads(done.stdout))


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise BenchError(f"Atrium was not ready within {_READY_SECONDS} s")
