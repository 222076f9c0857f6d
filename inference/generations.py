"""Generations: admitted by the web tier, claimed and settled by workers. The Python side of `sql/generations.sql`.

Every function is one round trip and one transaction. A generation is settled once: by the attempt that holds its
lease, or by the sweeper when that lease ran out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import DatabaseError, connections

from billing.limits import Level, Rates
from billing.pricing import Quote
from billing.reservations import UsageLine, budget_error, lines_json, prices_json
from tenants import work
from tenants.errors import AtriumError
from tenants.idempotency import KeyReused, StillInFlight
from tenants.models import IdempotencyRecord
from tenants.scope import acting_for, tenant_scope

from .models import Generation

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Replay(Exception):
    """The idempotency key was used before: look the first answer up with `replay`."""


class WorkerLost(AtriumError):
    """The worker that ran the call died; the client may try again."""

    status = 502
    type = "server_error"
    code = "worker_lost"


class AnswerGone(AtriumError):
    """The first answer to this idempotency key was not kept (content retention)."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_answer_gone"


@dataclass(frozen=True)
class Admitted:
    """What admission fixes and the worker needs again: kept in the row's `terms`.

    `prompt_hold` is the part of the hold that everything but the output may cost; `groups` are the caller's at that
    moment, by which `file_search` finds (`knowledge.access`).
    """

    levels: Sequence[Level]
    estimated_tokens: int
    prompt_hold: Decimal
    output_limit: int
    retention_days: int
    end_user: str = ""
    groups: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """For the row."""
        return {
            "levels": [
                [
                    level.name,
                    level.id.hex,
                    level.rates.requests_per_minute,
                    level.rates.tokens_per_minute,
                    level.rates.concurrent_calls,
                ]
                for level in self.levels
            ],
            "estimated_tokens": self.estimated_tokens,
            "prompt_hold": str(self.prompt_hold),
            "output_limit": self.output_limit,
            "retention_days": self.retention_days,
            "groups": sorted(self.groups),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Admitted":
        """From the row."""
        levels = [Level(name, UUID(hex=ident), Rates(*rates)) for name, ident, *rates in data["levels"]]
        numbers = {name: data[name] for name in ("estimated_tokens", "output_limit", "retention_days")}
        groups = frozenset(data.get("groups", ()))
        return cls(levels=levels, prompt_hold=Decimal(data["prompt_hold"]), groups=groups, **numbers)


@dataclass(frozen=True)
class Call:
    """A claimed generation, loaded: everything its worker needs."""

    tenant_id: UUID
    id: UUID
    attempt: int
    kind: str
    key_id: UUID
    alias: str
    model: str
    request: dict[str, Any]
    admitted: Admitted
    inbox: str
    hold: Decimal
    prices: list[dict[str, Any]]
    created_at: datetime

    def unit_price(self, meter: str) -> Decimal:
        """Per unit of the called model's `meter`, at the prices of the reservation."""
        found = next(price for price in self.prices if price["model"] == self.model and price["meter"] == meter)
        return Decimal(found["amount"]) / found["per"]


@dataclass
class Outcome:
    """How a call ended. `lines` is what it used, whatever became of it."""

    state: str
    lines: list[UsageLine] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)


def _execute(query: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
    """One statement, autocommitted, and the connection back to the pool."""
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchone()
    finally:
        if not connection.in_atomic_block:
            connection.close()


def admit(
    *,
    tenant_id: UUID,
    generation_id: UUID,
    key_id: UUID,
    kind: str,
    alias: str,
    model: str,
    request: bytes,
    admitted: Admitted,
    inbox: str,
    weight: int,
    hold_min: Decimal,
    hold: Decimal,
    currency: str,
    quote: Quote,
    idempotency_key: str | None = None,
    fingerprint: str | None = None,
) -> Decimal:
    """Write the generation, queue it and hold its worst case; returns the hold.

    Raises:
        BudgetExhausted, BudgetHeld: a budget does not cover `hold_min`.
        Replay: the idempotency key was used before.
    """
    lease = timedelta(seconds=settings.GENERATION_DEADLINE_SECONDS * 2)
    parameters = [
        tenant_id, generation_id, key_id, kind, alias, model, request.decode(), orjson.dumps(admitted.as_json()).decode(),
        inbox, weight, admitted.end_user, hold_min, hold, currency, prices_json(quote), lease, idempotency_key, fingerprint,
    ]  # fmt: skip
    try:
        row = _execute(f"SELECT admit_generation({', '.join(['%s'] * len(parameters))})", parameters)
    except DatabaseError as error:
        refusal = budget_error(error) or _idempotency_error(error)
        if refusal is None:
            raise
        raise refusal from error
    assert row is not None
    return row[0]


def _idempotency_error(error: DatabaseError) -> Exception | None:
    return Replay() if getattr(error.__cause__, "sqlstate", None) == "AT409" else None


def replay(*, tenant_id: UUID, key_id: UUID, idempotency_key: str, fingerprint: str) -> dict[str, Any]:
    """The first answer to an idempotency key.

    Raises:
        KeyReused: the key came with another body.
        StillInFlight: the first call has not ended.
        AnswerGone: its answer was not kept.
    """
    with acting_for(tenant_id), tenant_scope():
        record = IdempotencyRecord.objects.filter(caller=str(key_id), key=idempotency_key).first()
        if record is None:
            raise StillInFlight
        if record.fingerprint != fingerprint:
            raise KeyReused("This Idempotency-Key was used with a different request. Use a new key for a new request.")
        generation = Generation.objects.filter(id=record.generation_id).first() if record.generation_id else None
    if generation is None or generation.state != Generation.State.COMPLETED:
        raise StillInFlight
    if generation.answer is None:
        raise AnswerGone("The first answer to this Idempotency-Key was not kept: the tenant's content retention ended.")
    return generation.answer


def claim_next(*, worker: str) -> Call | None:
    """Claim the next generation by fairness between tenants and load it; None when nothing waits."""
    row = _execute("SELECT * FROM next_generation(%s, %s)", [worker, timedelta(seconds=settings.WORK_LEASE_SECONDS)])
    if row is None:
        return None
    tenant_id, ident, attempt, kind, key_id, alias, model, request, terms, inbox, hold, prices, created_at = row
    admitted = Admitted.from_json(_decoded(terms))
    return Call(
        tenant_id, ident, attempt, kind, key_id, alias, model, _decoded(request), admitted, inbox, hold, _decoded(prices),
        created_at,
    )  # fmt: skip


def _decoded(value: Any) -> Any:
    """JSON columns arrive as text through a raw cursor under Django, decoded under plain psycopg."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def settle(claim: work.Claim, outcome: Outcome, *, retention_days: int) -> Decimal | None:
    """End a claimed generation: state, answer, ledger, budgets. Returns the cost; None where the lease was lost."""
    reservation = "unknown" if outcome.state == "unknown" else ("settled" if outcome.lines else "released")
    row = _execute(
        "SELECT settle_generation(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            claim.tenant_id, claim.id, claim.attempt,
            "failed" if outcome.state == "unknown" else outcome.state, reservation,
            _json(outcome.answer), _json(outcome.error), _json(outcome.attempts), lines_json(outcome.lines), retention_days,
        ],
    )  # fmt: skip
    return row[0] if row else None


def _json(value: Any) -> str | None:
    """Without NUL, which Postgres cannot hold; a backslash before `u0000` that is itself escaped is text."""
    return None if value is None else _NUL.sub(r"\1", orjson.dumps(value).decode())


def withdraw(*, tenant_id: UUID, generation_id: UUID) -> bool:
    """The client left: leave the queue unless a worker has claimed the call; False where one has."""
    row = _execute("SELECT withdraw_generation(%s, %s)", [tenant_id, generation_id])
    return bool(row and row[0])


def ended(*, tenant_id: UUID, generation_id: UUID) -> dict[str, Any] | None:
    """`answer` and `error` of a generation that has ended; None while it runs."""
    with acting_for(tenant_id), tenant_scope():
        row = Generation.objects.filter(id=generation_id).first()
    if row is None or row.state in (Generation.State.QUEUED, Generation.State.RUNNING):
        return None
    return {"answer": row.answer, "error": row.error}


@dataclass(frozen=True)
class Lost:
    """A generation whose worker died, and what its client must be told."""

    id: UUID
    inbox: str
    error: dict[str, Any]
    admitted: Admitted
    tenant_id: UUID


def settle_lost() -> list[Lost]:
    """Settle generations whose lease ran out: charged at the hold and marked unknown, for the provider was called."""
    lost = []
    for claim in work.expired(work.GENERATION):
        with acting_for(claim.tenant_id), tenant_scope():
            row = Generation.objects.filter(id=claim.id).values("inbox", "terms").first()
        if row is None:
            work_gone(claim)
            continue
        admitted = Admitted.from_json(row["terms"])
        error = WorkerLost("The worker running this call was lost. Try again.").body()
        cost = settle(claim, Outcome(state="unknown", error=error), retention_days=admitted.retention_days)
        if cost is not None:
            lost.append(Lost(claim.id, row["inbox"], error, admitted, claim.tenant_id))
    return lost


def work_gone(claim: work.Claim) -> None:
    """Leave the queue for a unit whose generation is gone."""
    with acting_for(claim.tenant_id), tenant_scope():
        work.finish(claim)


def erase_expired_contents(*, limit: int = 500) -> int:
    """Null prompts and answers whose retention ended; the usage stays. Returns how many."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM expired_contents(%s)", [limit])
        found = cursor.fetchall()
    for tenant_id, ident in found:
        with acting_for(tenant_id), tenant_scope():
            Generation.objects.filter(id=ident).update(request=None, answer=None)
    return len(found)
