"""A worker counts as alive while it beats, by Redis's clock; a real one beats and leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings

from config import worker_heartbeat
from config.worker_heartbeat import beat, forget, live_workers

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client
        client.delete("workers:a", "workers:b")


def test_a_worker_that_beats_is_alive_on_each_of_its_queues(client: redis.Redis) -> None:
    beat(client, "one@here", ["a", "b"])
    beat(client, "two@here", ["b"])
    assert [worker.name for worker in live_workers(client, "a")] == ["one@here"]
    assert [worker.name for worker in live_workers(client, "b")] == ["one@here", "two@here"]
    assert all(worker.resident_bytes > 10_000_000 for worker in live_workers(client, "b"))


def test_a_worker_that_stopped_beating_is_not_alive_and_is_cleared_away(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_heartbeat, "_LIFE_SECONDS", 0.05)
    beat(client, "killed@here", ["a"])
    time.sleep(0.1)
    assert live_workers(client, "a") == []
    assert client.hexists("workers:a", "killed@here")
    beat(client, "other@here", ["a"])
    assert not client.hexists("workers:a", "killed@here")


def test_a_worker_that_was_told_to_stop_is_forgotten_at_once(client: redis.Redis) -> None:
    beat(client, "one@here", ["a"])
    forget(client, "one@here", ["a"])
    assert live_workers(client, "a") == []


@pytest.mark.crashes
def test_a_real_worker_beats_until_it_is_told_to_stop_and_logs_json(client: redis.Redis, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-Q", "a", "-P", "threads", "-c", "1"]
    log = tmp_path / "stderr"
    with log.open("w") as stderr:
        worker = subprocess.Popen(
            [*command, "-n", "real@test", "-l", "info"],
            cwd=_ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "INFO"},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        _wait(lambda: [found.name for found in live_workers(client, "a")] == ["real@test"])
        worker.send_signal(signal.SIGTERM)
        _wait(lambda: live_workers(client, "a") == [])
    finally:
        worker.terminate()
        worker.wait(30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["event"] == "real@test ready." for line in lines)
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines)


def _wait(until, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "the worker did not do as expected"
        time.sleep(0.1)  # another process: there is no event to wait for
