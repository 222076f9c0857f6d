"""`/metrics` for Prometheus: what this web process counted, and what all of Atrium holds at the moment.

Requests are counted in memory, by the process that answers; several that share a port keep their counts in the folder
`PROMETHEUS_MULTIPROC_DIR`, which the supervisor empties at its start. Everything else is read at the scrape from where
the truth is, and so is the same from every process and after every restart: tokens and costs from the ledger, queues
from their table, workers from their heartbeats. Where several web servers are scraped, take `max`, not `sum`, of those.
A part that is away is missing from the answer, and `atrium_up` says so.
"""

import hmac
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings
from django.db import DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from billing.integrity import open_faults as ledger_faults
from billing.usage_totals import MonthTotals
from inference.routing.health import states
from tenants import work
from tenants.api_keys import InvalidKey
from tenants.authentication import bearer

from .health import QUEUES, probe_client
from .worker_heartbeat import live_workers

_totals = MonthTotals()


def metrics(request: HttpRequest) -> HttpResponse:
    """The scrape. Asks for `METRICS_TOKEN` where one is set; production without one has no such page."""
    if settings.METRICS_TOKEN:
        if not _authorised(request):
            return HttpResponse("Send 'Authorization: Bearer <METRICS_TOKEN>'.\n", "text/plain", status=401)
    elif settings.PRODUCTION:
        raise Http404
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _authorised(request: HttpRequest) -> bool:
    try:
        token = bearer(request.headers.get("Authorization"))
    except InvalidKey:
        return False
    return hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())


def exposition() -> bytes:
    """Everything, in Prometheus's text format."""
    counted = REGISTRY
    if settings.METRICS_FOLDER:
        counted = CollectorRegistry()
        MultiProcessCollector(counted, settings.METRICS_FOLDER)
        ProcessCollector(registry=counted)
    whole = CollectorRegistry()
    whole.register(AtriumCollector())
    return generate_latest(counted) + generate_latest(whole)


class AtriumCollector(Collector):
    """What all of Atrium holds, read at the scrape."""

    def collect(self) -> Iterator[Metric]:
        """Each part's metrics, and which parts answered."""
        up = GaugeMetricFamily("atrium_up", "Whether a part answered this scrape.", labels=["part"])
        parts: list[tuple[str, Callable[[], list[Metric]], tuple[type[Exception], ...]]] = [
            ("database", _from_database, (DatabaseError, PoolTimeout)),
            ("redis", _from_redis, (RedisError,)),
        ]
        for name, read, away in parts:
            try:
                yield from read()
                up.add_metric([name], 1)
            except away:
                up.add_metric([name], 0)
        yield up


def _from_database() -> list[Metric]:
    return [*_usage(), _faults(), *_queues(), _connections()]


def _usage() -> list[Metric]:
    tokens = CounterMetricFamily(
        "atrium_tokens", "Units settled this month (UTC), by the ledger.", labels=["model", "meter"]
    )
    cost = CounterMetricFamily("atrium_cost", "Charged this month (UTC), by the ledger.", labels=["model", "currency"])
    quantities: dict[tuple[str, str], Decimal] = {}
    costs: dict[tuple[str, str], Decimal] = {}
    for (model, meter, currency), total in _totals.read(now=datetime.now(UTC)).items():
        quantities[model, meter] = quantities.get((model, meter), Decimal(0)) + total.quantity
        costs[model, currency] = costs.get((model, currency), Decimal(0)) + total.cost
    # Prometheus knows floats only; the exact amounts are in finance's reports.
    for labels, quantity in quantities.items():
        tokens.add_metric(labels, float(quantity))
    for labels, amount in costs.items():
        cost.add_metric(labels, float(amount))
    return [tokens, cost]


def _faults() -> Metric:
    """Each kind is there at 0 too: an alert on a metric that is missing would not hear of the first fault."""
    family = GaugeMetricFamily("atrium_ledger_faults", "What does not add up in the ledger.", labels=["kind"])
    for kind, count in ledger_faults().items():
        family.add_metric([kind], count)
    return family


def _queues() -> list[Metric]:
    units = GaugeMetricFamily("atrium_queue_units", "Units of work, by state.", labels=["queue", "state"])
    age = GaugeMetricFamily(
        "atrium_queue_oldest_seconds", "How long the oldest waiting unit has waited.", labels=["queue"]
    )
    for queue in (*QUEUES, work.FETCHING, work.SYNCING, work.BATCHES, work.BATCH_LINES, work.WEBHOOKS, work.REPORTS):
        depth = work.depth(queue)
        for state, count in (("queued", depth.queued), ("running", depth.running), ("dead", depth.dead)):
            units.add_metric([queue, state], count)
        age.add_metric([queue], depth.oldest_seconds)
    return [units, age]


def _connections() -> Metric:
    """All of this database's: PostgreSQL shows their number to every role, but what they do only to their own."""
    family = GaugeMetricFamily("atrium_database_connections", "Connections to the database, by role.", labels=["role"])
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(usename, 'system'), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() GROUP BY 1"
        )
        for role, count in cursor.fetchall():
            family.add_metric([role], count)
    return family


def _from_redis() -> list[Metric]:
    alive = GaugeMetricFamily("atrium_workers", "Workers alive, by the queue they consume.", labels=["queue"])
    memory = GaugeMetricFamily("atrium_worker_resident_bytes", "Resident memory.", labels=["queue", "worker"])
    breakers = GaugeMetricFamily("atrium_deployments_away", "Deployments that are left alone.", labels=["state"])
    with probe_client() as client:
        counts = Counter(known.state for known in states(client).values())
        for state in ("open", "half open", "resting"):
            breakers.add_metric([state], counts[state])
        for queue in QUEUES:
            workers = live_workers(client, queue)
            alive.add_metric([queue], len(workers))
            for worker in workers:
                memory.add_metric([queue, worker.name], worker.resident_bytes)
    return [alive, memory, breakers]
