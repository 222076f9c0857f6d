"""`/metrics`: who may read it, and that what it says is what happened, in whatever process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from django.conf import LazySettings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from billing.models import UsageRecord
from billing.usage_totals import MonthTotals, Total
from config import health, metrics
from config.services import free_port
from config.worker_heartbeat import beat
from tenants import work
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _fresh_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_totals", MonthTotals())


def scrape(client: Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(sample, sorted labels) → value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def labels(**names: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(names.items()))


def ledger_line(tenant_id, *, model: str, meter: str, quantity: int, cost: str, at: datetime) -> None:
    with acting_for(tenant_id), tenant_scope():
        UsageRecord.objects.create(
            tenant_id=tenant_id, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="completions",
            model=model, meter=meter, quantity=quantity, unit_price=Decimal(1), per=1, cost=Decimal(cost),
            currency="USD", period_start=at.date().replace(day=1), occurred_at=at,
        )  # fmt: skip


def test_a_token_is_asked_for_where_one_is_set(db: None, client: Client, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = "scrape-me"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer scrape-mE"}).status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer scrape-me"}).status_code == 200


def test_production_without_a_token_has_no_such_page(client: Client, settings: LazySettings) -> None:
    settings.PRODUCTION, settings.METRICS_TOKEN = True, ""
    assert client.get("/metrics").status_code == 404


def test_requests_are_counted_by_route_not_by_path(acme: Member, client: Client) -> None:
    known = labels(method="GET", route="/v1/models/<path:model_id>", status="404")
    stray = labels(method="GET", route="unmatched", status="404")
    before = scrape(client)
    for name in ("one", "two/three"):
        acme.client.get(f"/v1/models/{name}")
    acme.client.get("/v1/no-such-thing")
    after = scrape(client)
    for route, times in ((known, 2), (stray, 1)):
        key = ("atrium_requests_total", route)
        assert after[key] - before.get(key, 0) == times
    assert not any("two/three" in str(key) or "no-such-thing" in str(key) for key in after)


def test_tokens_and_costs_are_the_ledgers_over_all_tenants(acme: Member, globex: Member, client: Client) -> None:
    now = datetime.now(UTC)
    for member, quantity, cost in ((acme, 100, "0.25"), (globex, 23, "0.5")):
        ledger_line(member.tenant.id, model="m", meter="input_tokens", quantity=quantity, cost=cost, at=now)
    ledger_line(acme.tenant.id, model="m", meter="output_tokens", quantity=7, cost="1", at=now)
    found = scrape(client)
    assert found["atrium_tokens_total", labels(model="m", meter="input_tokens")] == 123
    assert found["atrium_tokens_total", labels(model="m", meter="output_tokens")] == 7
    assert found["atrium_cost_total", labels(model="m", currency="USD")] == 1.75
    assert scrape(client)["atrium_cost_total", labels(model="m", currency="USD")] == 1.75


def test_the_months_totals_add_up_line_by_line_and_start_anew_with_the_month(acme: Member) -> None:
    """Scrapes at any moments, in a long-lived process and in a new one, see the same sums."""
    key, start = ("m", "input_tokens", "USD"), datetime(2026, 3, 30, tzinfo=UTC)
    lived = MonthTotals()
    expected = 0
    for hours in range(0, 47, 3):
        now = start + timedelta(hours=hours)
        for minutes in (0, 9, 11):
            ledger_line(
                acme.tenant.id,
                model="m",
                meter="input_tokens",
                quantity=5,
                cost="2",
                at=now - timedelta(minutes=minutes),
            )
            expected += 5
        assert (
            lived.read(now=now)[key] == MonthTotals().read(now=now)[key] == Total(Decimal(expected), expected * 2 / 5)
        )
    assert lived.read(now=datetime(2026, 4, 1, 0, 5, tzinfo=UTC)) == {}
    ledger_line(
        acme.tenant.id, model="m", meter="input_tokens", quantity=1, cost="3", at=datetime(2026, 4, 1, 1, tzinfo=UTC)
    )
    assert lived.read(now=datetime(2026, 4, 1, 2, tzinfo=UTC)) == {key: Total(Decimal(1), Decimal(3))}


def test_a_line_committed_late_is_not_missed(acme: Member) -> None:
    totals, now = MonthTotals(), datetime(2026, 3, 30, 12, tzinfo=UTC)
    assert totals.read(now=now) == {}
    late = now - timedelta(minutes=5)
    ledger_line(acme.tenant.id, model="m", meter="input_tokens", quantity=5, cost="2", at=late)
    assert totals.read(now=now + timedelta(minutes=1))["m", "input_tokens", "USD"].quantity == 5
    assert totals.read(now=now + timedelta(hours=1))["m", "input_tokens", "USD"].quantity == 5


def test_queues_show_their_depth_age_and_dead_letters(acme: Member, client: Client) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        for _ in range(3):
            work.enqueue(acme.tenant.id, uuid7(), work.INGESTION)
    claim = work.claim(work.INGESTION, worker="test", lease=timedelta(seconds=60))
    assert claim is not None
    with acting_for(acme.tenant.id), tenant_scope():
        work.bury(claim, reason="poison")
    found = scrape(client)
    states = {
        state: found["atrium_queue_units", labels(queue="ingestion", state=state)] for state in ("queued", "dead")
    }
    assert states == {"queued": 2, "dead": 1}
    assert 0 < found["atrium_queue_oldest_seconds", labels(queue="ingestion")] < 60
    assert found["atrium_queue_units", labels(queue="generation", state="queued")] == 0


@pytest.fixture
def worker(settings: LazySettings) -> Iterator[str]:
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        beat(connection, "test@here", list(health.QUEUES))
        yield "test@here"
        connection.delete(*(f"workers:{queue}" for queue in health.QUEUES))


def test_workers_memory_and_connections_are_shown(db: None, client: Client, worker: str) -> None:
    found = scrape(client)
    assert found["atrium_workers", labels(queue="generation")] == 1
    assert found["atrium_worker_resident_bytes", labels(queue="ingestion", worker=worker)] > 10_000_000
    assert found["process_resident_memory_bytes", ()] > 10_000_000
    connections = {key[1]: value for key, value in found.items() if key[0] == "atrium_database_connections"}
    assert sum(connections.values()) >= 1
    assert found["atrium_up", labels(part="database")] == found["atrium_up", labels(part="redis")] == 1


def test_a_part_that_is_away_is_left_out_and_named(db: None, client: Client, settings: LazySettings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    found = scrape(client)
    assert found["atrium_up", labels(part="redis")] == 0
    assert found["atrium_up", labels(part="database")] == 1
    assert ("atrium_queue_units", labels(queue="generation", state="queued")) in found
    assert not any(name == "atrium_workers" for name, _ in found)


@pytest.mark.crashes
def test_processes_that_share_a_folder_are_counted_together_after_their_death(tmp_path: Path) -> None:
    """A web process counts and ends; the next counts too, and shows what both counted."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"}
    prelude = (
        "import django; django.setup(); from inference.metrics import Observed, observe; from config import metrics;"
    )
    count = "observe(Observed(path='/v1/test', status=200));"
    show = "import sys; sys.stdout.buffer.write(metrics.exposition())"
    subprocess.run([sys.executable, "-c", f"{prelude} {count}"], env=environment, cwd=_ROOT, check=True)
    shown = subprocess.run(
        [sys.executable, "-c", f"{prelude} {count} {show}"],
        env=environment,
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert 'atrium_requests_total{method="POST",route="/v1/test",status="200"} 2.0' in shown
    assert 'atrium_request_seconds_count{method="POST",route="/v1/test"} 2.0' in shown
    assert "process_resident_memory_bytes" in shown
