"""The admin's long lists at a million generations of one tenant, beside others': every list, filter, search and page.

    python -m tests.bench.admin            (make bench-admin)

Calls with their attempts, ledger lines, screenings and feedback, and as many events, files and deliveries as a large
tenant has, are made by SQL. Then a tenant's admin walks each list through Django's client, middleware, permissions and
templates included: plain, by each filter, by each search (one that finds and one that does not), and page after page
from both ends and the middle. Times are of answers; the figure is the 95th percentile of all and of each list. What the
database takes of it, and what this process computes, stand beside it: on a busy machine they tell where the rest went.

BENCH_ROWS=100000 makes fewer calls; BENCH_KEEP=1 leaves the database, and uses it if it is there.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from tests.bench.database import own_database

ROWS = int(os.environ.get("BENCH_ROWS", 1_000_000))
KEEP = bool(os.environ.get("BENCH_KEEP"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
NEIGHBOURS = 20
DAYS = 60
#: p95 in milliseconds that no list may be above.
BOUND = 300

# An id of a moment: a UUIDv7's milliseconds, version, and the rest from a digest of the row's number.
_ID = (
    "(lpad(to_hex((extract(epoch FROM c.at) * 1000)::bigint), 12, '0') || '7' || substr(md5('{salt}' || c.n), 1, 3) "
    "|| '8' || substr(md5('{salt}' || c.n), 4, 15))::uuid"
)
#: Nine of ten calls are the tenant's; a tenth are its neighbours'.
_CALLS = f"""
CREATE TEMP TABLE calls AS
SELECT c.n, c.at, {_ID.format(salt="call")} AS id,
       CASE WHEN c.n %% 11 > 0 THEN %(tenant)s ELSE (%(others)s::uuid[])[1 + c.n %% %(neighbours)s] END AS tenant_id,
       md5('key' || width_bucket(power(random(), 3), 0, 1, 40))::uuid AS key_id,
       'model-' || width_bucket(power(random(), 3), 0, 1, 12) AS alias,
       CASE WHEN random() < 0.6 THEN 'user-' || (random() * 20000)::int ELSE '' END AS end_user,
       CASE WHEN random() < 0.985 THEN 'completed' WHEN random() < 0.8 THEN 'failed' ELSE 'cancelled' END AS state,
       CASE WHEN random() < 0.9 THEN 'chat' WHEN random() < 0.8 THEN 'embeddings' ELSE 'response' END AS kind
  FROM (SELECT n, %(since)s::timestamptz + (n::float8 / %(calls)s) * %(length)s::interval AS at
          FROM generate_series(1, %(calls)s) n) c
"""
_GENERATIONS = """
INSERT INTO inference_generation (tenant_id, id, kind, state, key_id, alias, model, request, terms, answer, error, inbox,
        created_at, finished_at, contents_until, end_user, trace)
SELECT tenant_id, id, kind, state, key_id, alias, alias,
       jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content',
                          repeat('What does the handbook say of holidays? ', 8)))),
       '{"retention_days": 30}', '{"choices": [{"message": {"role": "assistant", "content": "Thirty days."}}]}',
       CASE state WHEN 'failed' THEN '{"error": {"code": "upstream_timeout", "message": "Silent for too long."}}'::jsonb END,
       'web', at, at + interval '800 ms', at + interval '30 days', end_user, '{"steps": [], "ms": 700}'
  FROM calls
"""
_ATTEMPTS = f"""
INSERT INTO inference_inferenceattempt (tenant_id, id, generation_id, number, deployment, model, started_at, latency_ms,
        input_tokens, output_tokens, cost, category, code)
SELECT c.tenant_id, {_ID.format(salt="attempt")}, c.id, 1, 'main', c.alias, c.at, 700, 500, 100, 0.001,
       CASE c.state WHEN 'failed' THEN 'timeout' ELSE '' END, CASE c.state WHEN 'failed' THEN 'upstream_timeout' ELSE '' END
  FROM calls c
"""
_LINES = """
INSERT INTO billing_usagerecord (tenant_id, id, reservation_id, request_id, attempt, operation, model, meter, quantity,
        unit_price, per, cost, currency, key_id, end_user, leads, period_start, occurred_at)
SELECT c.tenant_id, uuidv7(), c.id, c.id, 1, 'completions', c.alias, m.meter, 500, 1, 1000000, 0.0005, 'USD', c.key_id,
       c.end_user, m.leads, date_trunc('month', c.at AT TIME ZONE 'utc')::date, c.at
  FROM calls c CROSS JOIN (VALUES ('input_tokens', true), ('output_tokens', false)) AS m (meter, leads)
"""
#: One call in twenty was screened, one in fifty rated; each of these tables has as many rows as a large tenant's.
_SCREENINGS = f"""
INSERT INTO inference_screening (tenant_id, id, generation_id, stage, screen, action, categories, count, details,
        created_at)
SELECT c.tenant_id, {_ID.format(salt="screening")}, c.id, 'input', 'pii',
       CASE WHEN c.n %% 1000 = 0 THEN 'block' ELSE 'mask' END, ARRAY['email'], 1, '[]', c.at FROM calls c WHERE c.n %% 4 = 0
"""
_FEEDBACK = f"""
INSERT INTO inference_feedback (tenant_id, id, generation_id, kind, rater, end_user, alias, rating, comment, answered_at,
        created_at)
SELECT c.tenant_id, {_ID.format(salt="feedback")}, c.id, 'chat', 'user:' || c.n, c.end_user, c.alias,
       CASE WHEN c.n %% 500 = 0 THEN -1 ELSE 1 END, '', c.at, c.at FROM calls c WHERE c.n %% 4 = 1
"""
_EVENTS = f"""
INSERT INTO tenants_auditevent (tenant_id, id, actor_type, actor_id, action, object_type, object_id, changes, created_at)
SELECT c.tenant_id, {_ID.format(salt="event")}, CASE WHEN c.n %% 5000 = 0 THEN 'staff' ELSE 'api_key' END, c.key_id::text,
       CASE WHEN c.n %% 3000 = 0 THEN 'budget.changed' ELSE 'file.created' END, 'knowledge.file', c.id::text, '{{}}', c.at
  FROM calls c WHERE c.n %% 2 = 0
"""
_FILES = f"""
INSERT INTO knowledge_file (tenant_id, id, filename, bytes, mime_type, sha256, storage_key, purpose, created_at, status,
        status_details, source_url, source_etag, source_modified, fetch_attempts, fetch_claim)
SELECT c.tenant_id, {_ID.format(salt="file")}, 'report-' || c.n || '.pdf', 1000, 'application/pdf', md5(c.n::text), '',
       'assistants', c.at, 'processed', '', '', '', '', 0, 0 FROM calls c WHERE c.n %% 4 = 2
"""
_DOCUMENTS = """
INSERT INTO knowledge_vectorstorefile (tenant_id, id, store_id, file_id, attributes, chunking, state, percent, error_code,
        error_message, chunk_count, usage_bytes, attempts, claim, created_at)
SELECT f.tenant_id, f.id, s.id, f.id, '{}', '{}', CASE WHEN random() < 0.99 THEN 'completed' ELSE 'failed' END, 100, '', '', 3,
       1000, 1, 1, f.created_at
  FROM knowledge_file f JOIN knowledge_vectorstore s ON s.tenant_id = f.tenant_id
"""
_DELIVERIES = f"""
INSERT INTO tenants_webhookdelivery (tenant_id, id, endpoint_id, event_id, state, attempts, log, created_at)
SELECT c.tenant_id, {_ID.format(salt="delivery")}, w.id, e.id, CASE WHEN c.n %% 1000 = 0 THEN 'failed' ELSE 'delivered' END, 1,
       '[]', c.at
  FROM calls c JOIN tenants_webhookendpoint w ON w.tenant_id = c.tenant_id
  JOIN tenants_webhookevent e ON e.tenant_id = c.tenant_id WHERE c.n %% 4 = 3
"""
_FILLED = {
    "inference_generation": _GENERATIONS,
    "inference_inferenceattempt": _ATTEMPTS,
    "billing_usagerecord": _LINES,
    "inference_screening": _SCREENINGS,
    "inference_feedback": _FEEDBACK,
    "tenants_auditevent": _EVENTS,
    "knowledge_file": _FILES,
    "knowledge_vectorstorefile": _DOCUMENTS,
    "tenants_webhookdelivery": _DELIVERIES,
}
#: List → what its filters and its search box are asked. `{id}` is an id of a row of the middle, `{none}` of no row.
_ASKED: dict[str, list[dict[str, str]]] = {
    "inference/generation": [
        *({"state": state} for state in ("completed", "failed", "cancelled", "open")),
        *({"when": span} for span in ("1h", "24h", "7d", "30d")),
        *({"alias": f"model-{n}"} for n in (1, 12, 99)),
        *({"key_id": f"{{key{n}}}"} for n in (1, 40)),
        *({"kind": kind} for kind in ("chat", "embeddings", "response")),
        {"end_user": "user-77"}, {"end_user": "nobody"},
        {"error_code": "upstream_timeout"}, {"error_code": "no_such_code"},
        {"state": "failed", "alias": "model-12"}, {"state": "cancelled", "kind": "response", "key_id": "{key40}"},
        {"key_id": "{key1}", "alias": "model-12"}, {"key_id": "{key40}", "alias": "model-99"},
        {"kind": "response", "alias": "model-12"}, {"end_user": "user-77", "when": "7d"},
        {"q": "{id}"}, {"q": "{none}"}, {"q": "user-77"}, {"q": "nobody"}, {"q": "{key1}"},
    ],
    "inference/inferenceattempt": [
        {"category": "timeout"}, {"category": "content"}, {"when": "24h"}, {"q": "{call}"}, {"q": "{none}"},
    ],
    "billing/usagerecord": [{"month": "{month}"}, {"month": "{last_month}"}, {"q": "{call}"}, {"q": "{none}"}],
    "inference/screening": [
        {"action": "block"}, {"action": "flag"}, {"screen": "pii"}, {"screen": "nothing"}, {"when": "7d"},
        {"q": "{call}"}, {"q": "{none}"},
    ],
    "inference/feedback": [
        {"rating": "-1"}, {"rating": "0"}, {"alias": "model-12"}, {"alias": "none"}, {"end_user": "user-77"}, {"q": "user-77"},
        {"q": "{call}"}, {"q": "{none}"}, {"when": "30d"},
    ],
    "tenants/auditevent": [
        {"actor_type": "staff"}, {"actor_type": "system"}, {"action": "budget.changed"}, {"action": "none.at_all"},
        {"q": "{id}"}, {"q": "{call}"}, {"q": "{none}"}, {"q": "file.created"}, {"when": "7d"},
    ],
    "knowledge/file": [{"q": "report-77"}, {"q": "no such name"}, {"q": "{id}"}, {"q": "{none}"}],
    "knowledge/vectorstorefile": [
        {"state": "failed"}, {"state": "parsing"}, {"q": "report-77"}, {"q": "no such name"}, {"q": "{id}"}, {"q": "{none}"},
    ],
    "tenants/webhookdelivery": [{"state": "failed"}, {"state": "pending"}, {"q": "{id}"}, {"q": "{none}"}, {"when": "24h"}],
}  # fmt: skip


def main() -> int:
    """Fill, walk, print."""
    with own_database("admin", keep=KEEP) as tenant_id:
        _settings()
        if not _filled():
            _fill(tenant_id)
        return _walk(tenant_id)


def _settings() -> None:
    from django.conf import settings

    # Not `setup_test_environment`: it copies the context of every template that is rendered.
    settings.ALLOWED_HOSTS = ["testserver"]
    storage = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}


def _superuser() -> Any:
    import psycopg

    return psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], autocommit=True)


def _filled() -> bool:
    with _superuser() as connection:
        return bool(connection.execute("SELECT EXISTS (SELECT FROM tenants_webhookdelivery)").fetchone()[0])


def _fill(tenant_id: UUID) -> None:
    from tenants.audit import COMMAND_LINE
    from tenants.registry import create_tenant, tenant_by_slug

    others = []
    for slug in (f"n{n}" for n in range(NEIGHBOURS)):
        there = tenant_by_slug(slug)
        others.append(there or create_tenant(slug=slug, name=slug, by=COMMAND_LINE).id)
    for ident in (tenant_id, *others):
        _furnish(ident)
    length = timedelta(days=DAYS)
    values = {
        "tenant": tenant_id, "others": others, "neighbours": NEIGHBOURS, "calls": ROWS * 11 // 10,
        "since": datetime.now(UTC) - length, "length": length,
    }  # fmt: skip
    started = time.monotonic()
    with _superuser() as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off; SET jit = off")
        cursor.execute(_CALLS, values)
        for table, insert in _FILLED.items():
            _without_indexes(cursor, table, insert)
    print(f"metric admin.fill.s {time.monotonic() - started:.0f}", flush=True)


def _furnish(ident: UUID) -> None:
    """A store, an endpoint and an event, for what hangs on them."""
    from knowledge import vector_stores
    from tenants.audit import COMMAND_LINE
    from tenants.scope import acting_for, tenant_scope
    from tenants.webhooks.models import WebhookEndpoint, WebhookEvent

    with acting_for(ident), tenant_scope() as tenant_id:
        if WebhookEndpoint.objects.exists():  # from a run that broke off
            return
        vector_stores.create_store(by=COMMAND_LINE, name="bench")
        WebhookEndpoint.objects.create(
            tenant_id=tenant_id, name="bench", url="https://x.example", event_types=["*"], secret="x"
        )
        WebhookEvent.objects.create(tenant_id=tenant_id, type="report.ready", object_id="x", body="{}")


def _without_indexes(cursor: Any, table: str, insert: str) -> None:
    """Indexes that are not unique are made anew after the rows. A table that a run filled which broke off is left; the
    few rows that came with the tenants do not fill it."""
    if cursor.execute(f"SELECT EXISTS (SELECT FROM {table} OFFSET 1000)").fetchone()[0]:
        return
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexdef NOT LIKE 'CREATE UNIQUE%%'",
        [table],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    cursor.execute(insert.replace("%%", "%"))
    for _, definition in indexes:
        cursor.execute(definition)
    cursor.execute(f"VACUUM ANALYZE {table}")


def _walk(tenant_id: UUID) -> int:
    """Every list; returns 1 where one is above the bound."""
    client = _admin(tenant_id)
    everything: list[float] = []
    slow, watch = 0, Watch()
    for name, asked in _ASKED.items():
        values = _values(tenant_id, name)
        times: list[float] = []
        for query in _queries(asked, values):
            took = [_timed(client, f"/admin/{name}/", query, watch) for _ in range(ROUNDS)]
            if statistics.median(took) > BOUND:
                print(
                    f"   {name} {query}: {statistics.median(took):.0f} ms, {watch.database[-1]:.0f} of the database",
                    flush=True,
                )
            times += took
        everything += times
        slow += _p95(times) > BOUND
        print(f"metric admin.list.{name.partition('/')[2]}.p95_ms {_p95(times):.0f}   ({len(times)} answers, at most "
              f"{max(times):.0f} ms)", flush=True)  # fmt: skip
    print(f"metric admin.list.p95_ms {_p95(everything):.0f}   ({len(everything)} answers, at most "
          f"{max(everything):.0f} ms)", flush=True)  # fmt: skip
    print(
        f"metric admin.list.database.p95_ms {_p95(watch.database):.0f}   (at most {max(watch.database):.0f} ms)",
        flush=True,
    )
    print(f"metric admin.list.computing.p95_ms {_p95(watch.computing):.0f}", flush=True)
    print(f"metric admin.list.above_bound {slow}", flush=True)
    return int(slow > 0)


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def _queries(asked: list[dict[str, str]], values: dict[str, str]) -> Iterator[dict[str, str]]:
    """Plain, deep, from the end, and what is asked, that from the middle too."""
    yield {}
    yield {"after": values["cursor"]}
    yield {"before": values["cursor"]}
    yield {"last": "1"}
    for query in asked:
        filled = {name: value.format(**values) for name, value in query.items()}
        yield filled
        if "q" not in filled:
            yield filled | {"after": values["cursor"]}


def _values(tenant_id: UUID, name: str) -> dict[str, str]:
    """What stands for the names in braces."""
    from hashlib import md5

    table = name.replace("/", "_")
    moment = "created_at" if table != "inference_inferenceattempt" else "started_at"
    half = datetime.now(UTC) - timedelta(days=DAYS / 2)
    with _superuser() as connection:
        [call] = connection.execute(
            "SELECT id FROM inference_generation WHERE tenant_id = %s AND created_at < %s ORDER BY id DESC LIMIT 1",
            [tenant_id, half],
        ).fetchone()
        if table == "billing_usagerecord":
            ident, at = connection.execute(
                "SELECT id, occurred_at FROM billing_usagerecord WHERE tenant_id = %s AND occurred_at < %s "
                "ORDER BY occurred_at DESC LIMIT 1", [tenant_id, half],
            ).fetchone()  # fmt: skip
            cursor = f"{at.isoformat()}~{ident}"
        else:
            [ident] = connection.execute(
                f"SELECT id FROM {table} WHERE tenant_id = %s AND {moment} < %s ORDER BY id DESC LIMIT 1",
                [tenant_id, half],
            ).fetchone()
            cursor = str(ident)
    month = datetime.now(UTC).date().replace(day=1)
    keys = {f"key{n}": str(UUID(md5(f"key{n}".encode()).hexdigest())) for n in (1, 40)}
    return {
        "id": str(ident), "call": str(call), "cursor": cursor, "none": "01900000-0000-7000-8000-000000000000",
        "month": month.isoformat(), "last_month": (month - timedelta(days=1)).replace(day=1).isoformat(), **keys,
    }  # fmt: skip


def _admin(tenant_id: UUID) -> Any:
    from django.test import Client

    from tenants.audit import COMMAND_LINE
    from tenants.members import add_member
    from tenants.models import Role, User
    from tenants.scope import acting_for

    email = "admin@bench.example"
    if not User.objects.filter(email=email).exists():
        with acting_for(tenant_id):
            add_member(email=email, role=Role.OWNER, by=COMMAND_LINE)
    client = Client()
    client.force_login(User.objects.get(email=email))
    client.get("/admin/")  # imports and compiles what every page needs
    return client


@dataclass
class Watch:
    """Milliseconds of each answer that its statements took, and that this process computed."""

    database: list[float] = field(default_factory=list)
    computing: list[float] = field(default_factory=list)

    def statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """Times a statement, for Django's `execute_wrapper`."""
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.database[-1] += (time.perf_counter() - started) * 1000


def _timed(client: Any, path: str, query: dict[str, str], watch: Watch) -> float:
    """Milliseconds of an answer."""
    from django.db import connection

    watch.database.append(0.0)
    started, computed = time.perf_counter(), time.process_time()
    with connection.execute_wrapper(watch.statement):
        answer = client.get(f"{path}?{urlencode(query)}")
    took = (time.perf_counter() - started) * 1000
    watch.computing.append((time.process_time() - computed) * 1000)
    assert answer.status_code in (200, 302), (path, query, answer.status_code)
    assert "e=1" not in answer.get("Location", ""), (path, query)
    return took


if __name__ == "__main__":
    sys.exit(main())
