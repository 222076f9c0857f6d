"""Health checks over a real Redis and a real server: who opted in is taken out before a call finds out, and comes back."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis

from inference.admin.routing import breaker_of
from inference.models import Model, TenantDeployment
from inference.routing import scripts
from inference.routing.health import check_deployments, states
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client
        for name in client.scan_iter("{routing}:*"):
            client.delete(name)


class Server(ThreadingHTTPServer):
    """Answers `status` to everything and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.asked: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def account(acme: Member, server: Server, settings: Any) -> TenantDeployment:
    """A deployment that opted in."""
    settings.TENANT_UPSTREAM_NETWORKS = ["127.0.0.1/32"]
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        return TenantDeployment.objects.create(
            tenant_id=tenant_id, model=Model.objects.get(name="local-extractive"), name="own", provider="openai",
            base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", api_key="sk-own", health_check=True,
        )  # fmt: skip


def test_who_opted_in_is_taken_out_while_it_does_not_answer(
    account: TenantDeployment, server: Server, client: redis.Redis
) -> None:
    ident = str(account.pk)
    assert check_deployments(client) == 1 and states(client) == {}
    assert server.asked == [("/v1/models", "Bearer sk-own")]
    server.status = 503
    assert check_deployments(client) == 0
    known = states(client)[ident]
    assert known.state == "open" and 60 < known.seconds <= 75
    assert breaker_of(ident).startswith("open, ")
    # A server without a list of models answers all the same; the next call finds out whether it can more.
    server.status = 404
    assert check_deployments(client) == 1
    assert states(client)[ident].state == "half open"


def test_others_are_asked_only_while_their_breaker_is_open(
    account: TenantDeployment, server: Server, client: redis.Redis, acme: Member
) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        TenantDeployment.objects.update(health_check=False)
    ident = str(account.pk)
    assert check_deployments(client) == 0 and server.asked == []
    for _ in range(2):
        client.eval(*scripts.breaker("fail", ident, 0, 2, 0.5, 60_000, 60_000))
    assert states(client)[ident].state == "open"
    server.status = 500
    assert check_deployments(client) == 0 and states(client)[ident].state == "open"
    server.status = 200
    assert check_deployments(client) == 1 and states(client)[ident].state == "half open"
    client.eval(*scripts.breaker("rest", ident, 5_000))
    client.eval(*scripts.breaker("ok", ident))
    assert states(client)[ident].state == "resting"


def test_an_address_that_is_not_allowed_any_more_is_not_asked(
    account: TenantDeployment, server: Server, client: redis.Redis, settings: Any
) -> None:
    settings.TENANT_UPSTREAM_NETWORKS = []
    assert check_deployments(client) == 0
    assert server.asked == [] and states(client)[str(account.pk)].state == "open"
