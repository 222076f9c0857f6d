"""One running Atrium for all end-to-end tests: real Postgres, Redis, workers; a model server that misbehaves on demand.

Under xdist one worker runs them all (`tests.services` sees to it), so the stack is started once.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import openai
import psycopg
import pytest

from config.supervisor import Stack, stack
from tests import template
from tests.e2e.commands import Commands
from tests.e2e.upstream import Upstream

#: What the fake model costs: a dollar per thousand tokens of each kind, so that sums can be checked by eye.
PRICE = "1000"
_closed_at_the_end = ExitStack()


@dataclass(frozen=True)
class Tenant:
    """A tenant of the running Atrium, with a key that may do everything."""

    slug: str
    id: str
    key: str
    url: str

    def sdk(self, **options: Any) -> openai.OpenAI:
        """A plain client; closed with the stack."""
        return _closed_at_the_end.enter_context(
            openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, **{"max_retries": 0, "timeout": 30, **options})
        )

    def async_sdk(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.key, **{"max_retries": 0, "timeout": 60, **options}
        )


class Atrium:
    """The running stack, and ways to look behind it."""

    def __init__(self, running: Stack, upstream: Upstream) -> None:
        self.stack = running
        self.upstream = upstream
        self.commands = Commands(running.environment)
        self._count = 0

    def manage(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """Run a management command with --json."""
        return json.loads(self.commands.run(*arguments, "--json", stdin=stdin))

    def new_tenant(
        self, *, budget: str | None = None, plan: str = "scale", retention_days: int = 30, grants: tuple[str, ...] = ()
    ) -> Tenant:
        """By the platform's API, as an operator's own system would. It is granted `fake`, and `grants`."""
        self._count += 1
        slug = f"e2e-{os.getpid()}-{self._count}"
        wanted = {"external_id": slug, "slug": slug, "name": slug, "plan": plan, "grants": ["fake", *grants]}
        made = self.post(
            "/v1/platform/tenants", self.platform_key, {**wanted, "content_retention_days": retention_days}
        )
        if budget is not None:
            self.post("/v1/budgets", made["api_key"], {"name": "monthly", "limit": budget})
        return Tenant(slug, str(UUID(hex=made["id"].removeprefix("tenant_"))), made["api_key"], self.stack.url)

    @cached_property
    def platform_key(self) -> str:
        return self.manage("issue_platform_key", "--name", "tests")["key"]

    def post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = httpx2.post(
            f"{self.stack.url}{path}", json=body, headers={"authorization": f"Bearer {key}"}, timeout=30
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database as its superuser, who sees everything."""
        url = os.environ["SUPERUSER_DATABASE_URL"]
        with psycopg.connect(url, dbname="atrium", autocommit=True) as connection:
            return connection.execute(query, parameters).fetchall()

    def new_model(self, behaviour: str, *, fallback: str = "") -> str:
        """A model whose deployment, its own, does what `behaviour` says; returns its name at the upstream as well.

        A copy of `fake` by SQL, because a command takes seconds. Its breaker is nobody else's.
        """
        self._count += 1
        name = f"fault:{behaviour}#{self._count}"
        self.sql(
            """
            WITH model AS (
                INSERT INTO inference_model
                SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(), 'name', %s::text))).*
                FROM inference_model m WHERE name = 'fake' RETURNING id
            ), price AS (
                INSERT INTO billing_price
                SELECT (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(), 'model', %s::text))).*
                FROM billing_price p WHERE model = 'fake'
            ), fallback AS (
                INSERT INTO inference_fallback (id, model_id, fallback_id, position)
                SELECT gen_random_uuid(), model.id, other.id, 1
                FROM model, inference_model other WHERE other.name = %s
            )
            INSERT INTO inference_deployment
            SELECT (jsonb_populate_record(d, jsonb_build_object(
                'id', gen_random_uuid(), 'name', %s::text, 'upstream_model', %s::text, 'model_id', model.id))).*
            FROM model, inference_deployment d JOIN inference_model m ON m.id = d.model_id
            WHERE m.name = 'fake' RETURNING id
            """,
            name, name, fallback, name, name,
        )  # fmt: skip
        return name

    def ledger(self, tenant: Tenant) -> list[tuple[Any, ...]]:
        """(meter, quantity, cost) of every line."""
        return self.sql(
            "SELECT meter, quantity, cost FROM billing_usagerecord WHERE tenant_id = %s ORDER BY id", tenant.id
        )

    def settled(self, tenant: Tenant, *, seconds: float = 20) -> None:
        """Wait until no reservation of the tenant is open."""
        eventually(
            lambda: self.sql(
                "SELECT count(*) FROM billing_reservation WHERE tenant_id = %s AND state = 'open'", tenant.id
            ) == [(0,)],
            seconds=seconds,
        )  # fmt: skip


def eventually(condition: Callable[[], Any], *, seconds: float = 20) -> Any:
    """The first true value of `condition`; it looks again and again, because the event is another process's."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s")


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def atrium(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atrium]:
    # Short times, so that tests of lost workers and silent upstreams need not wait long; a Redis database of its own,
    # because these tests flush it.
    environment = {
        "BREAKER_OPEN_SECONDS": "1",
        "REDIS_URL": f"{os.environ['REDIS_URL'].rsplit('/', 1)[0]}/1",
        "WORK_LEASE_SECONDS": "3",
        "UPSTREAM_READ_SECONDS": "4",
        "LOG_LEVEL": "WARNING",
        "FETCH_ALLOWED_NETWORKS": "127.0.0.1/32",
        "TENANT_UPSTREAM_NETWORKS": "127.0.0.1/32",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    }
    var = Path(os.environ["ATRIUM_VAR"]) / "e2e"
    if "TEST_DATABASE_TEMPLATE" in os.environ:
        template.wait(var.parent)  # it is this database that is being migrated
    with ExitStack() as exits:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            running = exits.enter_context(stack(var=var, port=0))
        atrium = Atrium(running, upstream)
        exits.callback(atrium.commands.close)
        atrium.manage(
            "register_model", "--name", "fake", "--base-url", upstream.url, "--input-price", PRICE, "--output-price", PRICE,
            "--context-window", "8000", "--max-output-tokens", "1000",
        )  # fmt: skip
        eventually(lambda: _ready(running.url), seconds=60)
        exits.push(_closed_at_the_end)
        yield atrium


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="session")
def acme_running(atrium: Atrium) -> Tenant:
    return atrium.new_tenant()


@pytest.fixture(autouse=True)
def _calm_upstream(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test starts with an upstream that nobody waits for."""
    yield
    if "upstream" in request.fixturenames or "atrium" in request.fixturenames:
        server = request.getfixturevalue("upstream")
        server.release.set()
        server.streaming.clear()
        server.gone.clear()
        server.release.clear()
