"""`manage.py make_demo_history`: a month of made-up calls, so that the desk's charts show something.

The money takes the way of all charges (`charge_spend`): prices in force, reservations, ledger lines, budgets; so the
books agree, and `billing.integrity` finds nothing to complain of. Beside it stand the calls themselves with their
attempts, what a few users said of the answers, and the statement of the month before. Every ledger line has the
allocation tag `TAG`, which no customer's call can get by itself, and the desk says on every page of such a tenant that
its history is made up.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection

from billing.budgets.setting import set_budget
from billing.prices import quote
from billing.reservations import prices_json
from billing.rollups import roll_up
from billing.statements.closing import close_month
from inference.call_sums import recount
from inference.feedback.giving import give
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id
from tenants.models import ApiKey, Tenant
from tenants.registry import require_tenant
from tenants.scope import acting_for, tenant_scope
from tenants.tags import set_allocation_tags

from .past_calls import KEYS, TAG, PastCall, past_calls

_CHAT, _EMBEDDINGS = "local-extractive", "all-MiniLM-L6-v2"
_METERS = ((_CHAT, "input_tokens"), (_CHAT, "output_tokens"), (_EMBEDDINGS, "embedding_tokens"))
#: Calls that are written in one transaction: each charge takes a lock of its own until its end.
_TOGETHER = 250
_RATED = 60
#: The functions' plans are made while the ledger is empty, and kept while it grows.
_BY_INDEX = {"enable_seqscan": "off"}

_CALLS = """
INSERT INTO inference_generation (tenant_id, id, kind, state, key_id, alias, model, request, terms, answer, error, inbox,
                                  created_at, finished_at, contents_until)
SELECT %(tenant)s, c.id, c.kind, c.state, c.key, c.model, c.model, c.request, c.terms, c.answer, c.error, 'demo',
       c.at, c.finished, c.finished + make_interval(days => %(retention)s)
  FROM jsonb_to_recordset(%(calls)s) AS c (id uuid, kind text, state text, key uuid, model text, request jsonb,
       terms jsonb, answer jsonb, error jsonb, at timestamptz, finished timestamptz)
"""
_CHARGES = """
SELECT c.id::text, charge_spend(%(tenant)s, c.id, c.key, c.operation, c.end_user, c.tags, %(currency)s, %(prices)s,
       c.lines, c.at)
  FROM jsonb_to_recordset(%(calls)s) AS c (id uuid, key uuid, operation text, end_user text, tags jsonb, lines jsonb,
       at timestamptz)
 WHERE c.lines <> '[]'
"""
_ATTEMPTS = """
INSERT INTO inference_inferenceattempt (tenant_id, id, generation_id, number, deployment, model, started_at, latency_ms,
                                        ttft_ms, input_tokens, output_tokens, cost, category, code, retryable)
SELECT %(tenant)s, uuidv7(c.at - clock_timestamp()), c.id, a.number, a.deployment, c.model, c.at, a.latency_ms, a.ttft_ms,
       a.input_tokens, a.output_tokens, c.cost, a.category, a.code, nullif(a.code, '') IS NOT NULL
  FROM jsonb_to_recordset(%(calls)s) AS c (id uuid, model text, at timestamptz, cost numeric, attempts jsonb),
       jsonb_to_recordset(c.attempts) AS a (number int, deployment text, latency_ms float8, ttft_ms float8,
       input_tokens bigint, output_tokens bigint, category text, code text)
"""


def make_history(*, slug: str, now: datetime) -> int:
    """Make the month of calls of a tenant that has none; returns how many."""
    with acting_for(require_tenant(slug)):
        keys = _keys(now)
        calls = list(past_calls(now=now))
        rows = iter([_row(call, keys) for call in calls])
        while batch := list(islice(rows, _TOGETHER)):
            _write(batch, now)
        roll_up()
        recount(since=calls[0].at)
        _rate([call for call in calls if not call.failure and not call.key.embeds][-_RATED:], keys)
        _limit(keys)
        _close_last_month(now)
    return len(calls)


def _keys(now: datetime) -> dict[str, UUID]:
    """Keys as an admin makes them, as old as their calls; nobody has their secrets."""
    set_allocation_tags(names=[TAG, "team"], by=COMMAND_LINE)
    made = {}
    for key in KEYS:
        row, _ = issue(
            name=f"{key.name} (demo)",
            scopes=["inference", "vector_stores.read"],
            tags={TAG: "history", "team": key.team},
            by=COMMAND_LINE,
        )
        made[key.name] = row.id
    with tenant_scope():
        ApiKey.objects.filter(id__in=made.values()).update(
            created_at=now - timedelta(days=31), last_used_at=now - timedelta(minutes=10)
        )
    return made


def _row(call: PastCall, keys: dict[str, UUID]) -> dict[str, Any]:
    """A call as the statements above read it."""
    model, provider = (_EMBEDDINGS,) * 2 if call.key.embeds else (_CHAT,) * 2
    finished = call.at + timedelta(milliseconds=call.latency_ms)
    return {
        "id": str(call.id),
        "kind": "embeddings" if call.key.embeds else "chat",
        "operation": "embeddings" if call.key.embeds else "completions",
        "state": "failed" if call.failure else "completed",
        "key": str(keys[call.key.name]),
        "model": model,
        "end_user": call.end_user,
        "tags": {TAG: "history", "team": call.key.team},
        "at": call.at.isoformat(),
        "finished": finished.isoformat(),
        "terms": {"chain": [[model, model, "", False, 2048]], "groups": [], "levels": []},
        "request": _request(call, model),
        "answer": None if call.failure or call.key.embeds else _answer(call),
        "error": _error(call.failure) if call.failure else None,
        "lines": list(_lines(call, model, provider)),
        "attempts": [_attempt(call)],
    }


def _request(call: PastCall, model: str) -> dict[str, Any] | None:
    if call.key.embeds:
        return None
    return {"model": model, "user": call.end_user, "messages": [{"role": "user", "content": call.question.text}]}


def _answer(call: PastCall) -> dict[str, Any]:
    text = call.question.expected_phrase or "The documents do not answer this question"
    usage = {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
    }
    message = {"role": "assistant", "content": f"{text[0].upper()}{text[1:]}.", "refusal": None}
    return {
        "id": public_id("chatcmpl-", call.id),
        "object": "chat.completion",
        "created": int(call.at.timestamp()),
        "model": _CHAT,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }


def _error(code: str) -> dict[str, Any]:
    said = {
        "upstream_timeout": "The model's server was silent for too long.",
        "upstream_error": "The model's server failed.",
        "upstream_rate_limited": "The model's server is overloaded.",
        "deadline_exceeded": "The call took longer than the platform allows.",
    }
    return {"error": {"message": said[code], "type": "server_error", "param": None, "code": code}}


def _lines(call: PastCall, model: str, provider: str) -> Iterator[dict[str, Any]]:
    meters = ("embedding_tokens", None) if call.key.embeds else ("input_tokens", "output_tokens")
    for meter, quantity in zip(meters, (call.input_tokens, call.output_tokens), strict=True):
        if meter and quantity and not call.failure:
            yield {"model": model, "meter": meter, "quantity": quantity, "attempt": 1, "provider": provider}


def _attempt(call: PastCall) -> dict[str, Any]:
    category = {"upstream_error": "upstream", "upstream_rate_limited": "capacity"}.get(call.failure, "timeout")
    return {
        "number": 1,
        "deployment": "in the worker",
        "latency_ms": call.latency_ms,
        "ttft_ms": None if call.failure or call.key.embeds else round(call.latency_ms * 0.8, 3),
        "input_tokens": 0 if call.failure else call.input_tokens,
        "output_tokens": call.output_tokens,
        "category": category if call.failure else "",
        "code": call.failure,
    }


def _write(rows: Sequence[dict[str, Any]], now: datetime) -> None:
    with tenant_scope(local=_BY_INDEX) as tenant_id, connection.cursor() as cursor:
        tenant = Tenant.objects.get(id=tenant_id)
        prices = quote(needs=_METERS, currency=tenant.currency, now=now)
        common: dict[str, Any] = {
            "tenant": tenant_id,
            "currency": tenant.currency,
            "retention": tenant.content_retention_days,
        }
        cursor.execute(_CALLS, {**common, "calls": json.dumps(rows)})
        cursor.execute(_CHARGES, {**common, "calls": json.dumps(rows), "prices": prices_json(prices)})
        costs = {call: str(cost) for call, cost in cursor.fetchall()}
        priced = [{**row, "cost": costs.get(row["id"])} for row in rows]
        cursor.execute(_ATTEMPTS, {**common, "calls": json.dumps(priced)})


def _rate(calls: Iterable[PastCall], keys: dict[str, UUID]) -> None:
    """Every second of the last answers has somebody's opinion, mostly a good one."""
    for number, call in enumerate(calls):
        if number % 2 == 0:
            bad = number % 10 == 0
            said = {"rating": -1, "comment": "Not what I asked for."} if bad else {"rating": 1}
            give(
                answer_id=public_id("chatcmpl-", call.id),
                choice=0,
                end_user=call.end_user,
                key_id=keys[call.key.name],
                said=said,
                now=call.at + timedelta(minutes=1),
            )


def _limit(keys: dict[str, UUID]) -> None:
    """A budget of a key, which only warns."""
    key = keys[KEYS[0].name]
    set_budget(name="Website assistant (demo)", limit=Decimal("1.00"), key_id=key, hard=False, by=COMMAND_LINE)


def _close_last_month(now: datetime) -> None:
    last = (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
    close_month(month=last, by=COMMAND_LINE, now=now)
