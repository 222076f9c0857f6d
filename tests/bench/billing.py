"""Reports and exports over ten million ledger lines, a month of a hundred tenants of which one has four fifths.

    python -m tests.bench.billing            (make bench-billing, which runs `rate` after it)

The lines are made by SQL, added up by the roll-up that beat runs, and a few thousand more are left above its mark. Then
reports are asked for over REST, key, JSON and all, in this process, and a file of all of a tenant's lines is written as
CSV the way a worker does. Times are medians of answers; `report.10m.ms` is the slowest report's. Beside one of them the
same sums are made of the lines themselves.

BENCH_ROWS=100000 makes fewer lines.
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from tests.bench.database import own_database

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
LATE = 6_000
DAYS = 31
ANSWERS = 11
NEIGHBOURS = 99

#: Four of five calls are tenant 1's; each call has three lines; a user has one app (key), team and model.
_LINES = """
INSERT INTO billing_usagerecord (tenant_id, id, reservation_id, request_id, attempt, operation, model, meter, quantity,
        unit_price, per, cost, provider_cost, currency, key_id, end_user, tags, leads, period_start, occurred_at)
SELECT c.tenant, uuidv7(), c.request, c.request, 1, 'completions', 'model-' || c.person %% 5, m.meter, q.quantity,
       m.price, 1000000, round(q.quantity * m.price / 1000000, 12), round(q.quantity * m.price / 2000000, 12), 'USD',
       md5(c.tenant || 'key' || c.person %% 20)::uuid, 'user-' || c.person,
       jsonb_build_object('team', 'team-' || c.person %% 8), m.leads,
       date_trunc('month', c.at AT TIME ZONE 'utc')::date, c.at
  FROM (SELECT CASE WHEN n %% 5 > 0 THEN %(tenants)s::uuid[] ELSE %(neighbours)s::uuid[] END AS ids, n,
               uuidv7() AS request, (random() * 20000)::int AS person,
               %(since)s::timestamptz + (n::float8 / %(calls)s) * %(length)s::interval AS at
          FROM generate_series(1, %(calls)s) n) s
 CROSS JOIN LATERAL (SELECT s.ids[1 + (s.n / 5) %% cardinality(s.ids)] AS tenant, s.request, s.person, s.at) c
 CROSS JOIN (VALUES ('input_tokens', 2.5, true), ('cached_input_tokens', 1.25, false), ('output_tokens', 10, false))
       AS m (meter, price, leads)
 CROSS JOIN LATERAL (SELECT (s.n::bigint * 7919 %% 2000) + 1 AS quantity) q
"""


def main() -> int:
    """Fill, measure, print."""
    with own_database("billing") as tenant_id:
        from django.test.utils import setup_test_environment

        setup_test_environment()
        until = datetime.now(UTC)
        since = until - timedelta(days=DAYS)
        neighbours = _fill(tenant_id, since, until)
        _reports(tenant_id, since)
        _by_hand(tenant_id, since)
        _export(tenant_id, since, until)
        _integrity(until)
        print(f"   ({ROWS + LATE} lines of {1 + neighbours} tenants)", flush=True)
    return 0


def _fill(tenant_id: UUID, since: datetime, until: datetime) -> int:
    from billing import rollups
    from tenants.audit import COMMAND_LINE
    from tenants.registry import create_tenant

    others = [create_tenant(slug=f"n{n}", name=f"N {n}", by=COMMAND_LINE).id for n in range(NEIGHBOURS)]
    started = time.monotonic()
    _insert([tenant_id], others, ROWS, since, until)
    print(f"metric ledger.fill.s {time.monotonic() - started:.0f}", flush=True)
    started = time.monotonic()
    rollups.roll_up()
    print(f"metric rollup.10m.s {time.monotonic() - started:.1f}", flush=True)
    _insert([tenant_id], others, LATE, until - timedelta(seconds=10), until)
    return len(others)


def _insert(own: list[UUID], others: list[UUID], lines: int, since: datetime, until: datetime) -> None:
    """As superuser, without triggers; indexes that are not unique are made anew after many lines."""
    import psycopg

    url = os.environ["SUPERUSER_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off; SET jit = off")
        indexes = []
        if lines > 100_000:
            cursor.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'billing_usagerecord' "
                "AND indexdef NOT LIKE 'CREATE UNIQUE%'"
            )
            indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(
            _LINES,
            {"tenants": own, "neighbours": others, "calls": lines // 3, "since": since, "length": until - since},
        )
        for _, definition in indexes:
            cursor.execute(definition)
        if indexes:
            cursor.execute("VACUUM ANALYZE billing_usagerecord")


def _reports(tenant_id: UUID, since: datetime) -> None:
    from tenants.api_keys import issue, issue_platform_key
    from tenants.audit import COMMAND_LINE
    from tenants.scope import acting_for

    with acting_for(tenant_id):
        _, key = issue(name="finance", scopes=["usage.read"], by=COMMAND_LINE)
    platform = issue_platform_key(name="finance", scopes=["finance"])
    month = {"start_time": int(since.timestamp()), "limit": 31}
    week = {"start_time": int((datetime.now(UTC) - timedelta(hours=168)).timestamp()), "limit": 168}
    asked: list[tuple[str, str, str, dict[str, Any]]] = [
        ("costs_by_line_item", key, "costs", {**month, "group_by": "line_item"}),
        ("costs_by_team", key, "costs", {**month, "group_by": "tag:team"}),
        ("usage_by_app_and_model", key, "usage/completions", {**month, "group_by": ["project_id", "model"]}),
        ("usage_by_hour", key, "usage/completions", {**week, "bucket_width": "1h", "group_by": "model"}),
        ("usage_of_one_user", key, "usage/completions", {**month, "user_ids": "user-77"}),
        ("platform_costs_by_tenant", platform, "costs", {**month, "group_by": "project_id"}),
        ("platform_usage_by_model", platform, "usage/completions", {**month, "group_by": "model"}),
    ]
    slowest = max(_timed(*one) for one in asked)
    print(f"metric report.10m.ms {slowest:.0f}", flush=True)
    day = {"start_time": int((datetime.now(UTC) - timedelta(days=1)).timestamp()), "limit": 2, "group_by": "user_id"}
    _timed("usage_of_a_day_by_user", key, "usage/completions", day)


def _timed(name: str, key: str, path: str, query: dict[str, Any]) -> float:
    """Milliseconds of an answer, the median."""
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    times = []
    for _ in range(ANSWERS):
        started = time.perf_counter()
        answer = client.get(f"/v1/organization/{path}?{urlencode(query, doseq=True)}")
        times.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.content
    results = sum(len(bucket["results"]) for bucket in json.loads(answer.content)["data"])
    median = statistics.median(times)
    print(f"metric report.{name}.ms {median:.0f}   ({results} results, at most {max(times):.0f} ms)", flush=True)
    return median


def _by_hand(tenant_id: UUID, since: datetime) -> None:
    """One of the reports from the lines themselves, in plain SQL; and that both say the same."""
    from django.db import connection

    from billing.sums import Selection, sums
    from tenants.scope import acting_for, tenant_scope

    within = (since, datetime.now(UTC))
    with acting_for(tenant_id):
        [(_, _, figures)] = sums(within=within, width=None, selection=Selection(), figures=["cost", "calls"])
        started = time.perf_counter()
        with tenant_scope(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(cost), count(*) FILTER (WHERE leads) FROM billing_usagerecord "
                "WHERE tenant_id = %s AND occurred_at >= %s AND occurred_at < %s",
                [tenant_id, *within],
            )
            found = cursor.fetchone()
    print(f"metric report.from_lines.ms {(time.perf_counter() - started) * 1000:.0f}", flush=True)
    wrong = (figures["cost"], figures["calls"]) != found
    print(f"metric report.10m.wrong {int(wrong)}   ({figures['cost']} USD in {figures['calls']} calls)", flush=True)


def _export(tenant_id: UUID, since: datetime, until: datetime) -> None:
    from billing.exports.wanted import Format, Kind, Wanted
    from billing.exports.writing import write_file
    from tenants.scope import acting_for

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with acting_for(tenant_id), tempfile.TemporaryFile(dir=os.environ["ATRIUM_VAR"]) as file:
        made = write_file(Wanted(kind=Kind.LEDGER, start=since, end=until), format=Format.CSV, to=file)
    took = time.monotonic() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"metric export.csv.rows_per_s {made.rows / took:.0f}   ({made.rows} rows, {made.bytes >> 20} MiB)", flush=True
    )
    print(f"metric export.csv.memory_mib {grown / 1024:.0f}", flush=True)


def _integrity(now: datetime) -> None:
    from billing import integrity

    started = time.monotonic()
    faults = integrity.check(now=now)
    print(f"metric integrity.10m.s {time.monotonic() - started:.0f}   ({faults} faults)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
