"""Generations: admitted by the web tier, claimed and settled by workers. The Python side of `sql/generations.sql`.

Every function is one round trip and one transaction. A generation is settled once: by the attempt that holds its
lease, or by the sweeper when that lease ran out.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connections

from billing.reservations import budget_refusal
from tenants import work
from tenants.errors import AtriumError
from tenants.idempotency import KeyReused, StillInFlight
from tenants.models import IdempotencyRecord
from tenants.scope import acting_for, tenant_scope

from .calls import Admission, Admitted, Call, Settlement
from .models import Generation

#: More calls than any tenant has running.
ANY_NUMBER = 1_000_000
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Replay(Exception):
    """The idempotency key was used before: look the first answer up with `replay`."""


class AnswerGone(AtriumError):
    """The first answer to this idempotency key was not kept (content retention)."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_answer_gone"


def _rows(query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """One statement of a thread, autocommitted, and the connection back to the pool."""
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())
    finally:
        if not connection.in_atomic_block:
            connection.close()


ADMIT = "SELECT n, hold, refusal, detail FROM admit_generations(%s::jsonb)"


def admissions_json(admissions: Sequence[Admission]) -> str:
    """The parameter of `ADMIT`."""
    return orjson.dumps([one.as_json(number) for number, one in enumerate(admissions)]).decode()


def admission_results(rows: Sequence[tuple[Any, ...]]) -> list[Decimal | Exception]:
    """What `ADMIT` answered, in the order of the admissions: the hold, or why there is none."""
    return [hold if refusal is None else _refusal(refusal, detail) for _, hold, refusal, detail in sorted(rows)]


def _refusal(code: str, detail: str) -> Exception:
    return Replay() if code == "AT409" else budget_refusal(detail)


def admit_all(admissions: Sequence[Admission]) -> list[Decimal | Exception]:
    """Write each generation, queue it and hold its worst case, all in one transaction and each by itself.

    Returns the hold of each, or why there is none: BudgetExhausted or BudgetHeld where a budget does not cover
    `hold_min`, Replay where the idempotency key was used before.
    """
    return admission_results(_rows(ADMIT, [admissions_json(admissions)])) if admissions else []


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


CLAIM = "SELECT * FROM next_generations(%s, %s, %s, %s, %s)"


def claim_parameters(
    *, worker: str, most: int, most_running: int = ANY_NUMBER, queue: str = work.GENERATION
) -> list[Any]:
    """The parameters of `CLAIM`.

    Args:
        most: how many calls at most.
        most_running: a tenant that has so many running for its weight gets no more now.
    """
    return [queue, worker, timedelta(seconds=settings.WORK_LEASE_SECONDS), most, most_running]


def claimed(row: tuple[Any, ...]) -> Call:
    """A row of `CLAIM`."""
    tenant_id, ident, attempt, kind, key_id, alias, model, request, terms, inbox, hold, prices, created_at, held = row
    admitted = Admitted.from_json(_decoded(terms))
    return Call(
        tenant_id, ident, attempt, kind, key_id, alias, model, request, admitted, inbox, hold, _decoded(prices), created_at,
        held,
    )  # fmt: skip


def _decoded(value: Any) -> Any:
    """JSON columns arrive as text through a raw cursor under Django, decoded under plain psycopg."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


SETTLE = "SELECT n, cost, queue FROM settle_generations(%s::jsonb)"


def settlements_json(settlements: Sequence[Settlement]) -> str:
    """The parameter of `SETTLE`."""
    return _json([one.as_json(number) for number, one in enumerate(settlements)])


def costs(rows: Sequence[tuple[Any, ...]]) -> list[Decimal | None]:
    """What `SETTLE` answered, in the order of the settlements: the cost; None where the lease was lost."""
    return [row[1] for row in sorted(rows)]


def settle(settlement: Settlement) -> Decimal | None:
    """End a claimed generation: state, answer, ledger, budgets. Returns the cost; None where the lease was lost."""
    [cost] = costs(_rows(SETTLE, [settlements_json([settlement])]))
    return cost


def _json(value: Any) -> str:
    """Without NUL, which Postgres cannot hold; a backslash before `u0000` that is itself escaped is text."""
    text = orjson.dumps(value).decode()
    return _NUL.sub(r"\1", text) if "\\u0000" in text else text


def withdraw(*, tenant_id: UUID, generation_id: UUID) -> bool:
    """The client left: leave the queue unless a worker has claimed the call; False where one has."""
    return bool(_rows("SELECT withdraw_generation(%s, %s)", [tenant_id, generation_id])[0][0])


def ended(*, tenant_id: UUID, generation_id: UUID) -> dict[str, Any] | None:
    """`answer` and `error` of a generation that has ended; None while it runs."""
    with acting_for(tenant_id), tenant_scope():
        row = Generation.objects.filter(id=generation_id).first()
    if row is None or row.state in (Generation.State.QUEUED, Generation.State.RUNNING):
        return None
    return {"answer": row.answer, "error": row.error}


def erase_expired_contents(*, limit: int = 500) -> int:
    """Null prompts and answers whose retention ended; the usage stays. Returns how many."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM expired_contents(%s)", [limit])
        found = cursor.fetchall()
    for tenant_id, ident in found:
        with acting_for(tenant_id), tenant_scope():
            Generation.objects.filter(id=ident).update(request=None, answer=None, found=None, metadata=None)
    return len(found)
