"""`/healthz` asks for nothing; `/readyz` says which part is away, and nothing else."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import LazySettings
from django.db import OperationalError
from django.test import Client

from config import health
from config.services import free_port
from config.worker_heartbeat import beat

ALL_OK = {"database": "ok", "redis": "ok", "generation_worker": "ok", "ingestion_worker": "ok"}


@pytest.fixture
def workers(settings: LazySettings) -> Iterator[redis.Redis]:
    """One live worker of each queue."""
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        beat(connection, "test@here", list(health.QUEUES))
        yield connection
        connection.delete(*(f"workers:{queue}" for queue in health.QUEUES))


def test_healthz_answers_without_any_service(client: Client, settings: LazySettings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    answer = client.get("/healthz")  # no `db` fixture: a query would fail this test
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readyz_is_200_while_every_part_answers(db: None, client: Client, workers: redis.Redis) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "parts": ALL_OK})


@pytest.mark.parametrize("queue", health.QUEUES)
def test_readyz_is_503_without_a_worker_of_a_queue(db: None, client: Client, workers: redis.Redis, queue: str) -> None:
    workers.delete(f"workers:{queue}")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == ALL_OK | {f"{queue}_worker": "none"}


def test_readyz_is_503_at_once_while_redis_is_away(db: None, client: Client, settings: LazySettings) -> None:
    port = free_port()
    settings.REDIS_URL = f"redis://:a-password@127.0.0.1:{port}/0"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    unknown = {"generation_worker": "unknown", "ingestion_worker": "unknown"}
    assert answer.json()["parts"] == {"database": "ok", "redis": "away", **unknown}
    assert not any(secret in answer.content.decode() for secret in ("a-password", str(port), "127.0.0.1"))


def test_readyz_is_503_while_the_database_is_away(
    client: Client, workers: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def cursor(self) -> None:
            raise OperationalError('connection to server at "10.0.0.1", user "app" failed')

    monkeypatch.setattr(health, "connections", {"default": Away()})
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == ALL_OK | {"database": "away"}
    assert "10.0.0.1" not in answer.content.decode()
