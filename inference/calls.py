"""A call of a model on its way: asked for, admitted, claimed, ended. Plain values; `generations` moves them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from billing.budgets.quotas import NO_QUOTAS, Quotas
from billing.limits import Level, Rates, release_arguments
from billing.prices import Quote
from billing.reservations import UsageLine, lines_json, prices_json
from tenants import work
from tenants.errors import AtriumError

from .response_cache.keys import Wish
from .terms import ChainModel


class WorkerLost(AtriumError):
    """The worker that ran the call died; the client may try again."""

    status = 502
    type = "server_error"
    code = "worker_lost"


@dataclass(frozen=True)
class Taken:
    """From which levels a call took, and when, in milliseconds by Redis' clock."""

    levels: Sequence[Level]
    at: int = 0


@dataclass(frozen=True)
class Admitted:
    """What admission fixes and the worker needs again: kept in the row's `terms`.

    `levels` are those whose limits the call took from, at `taken_at` (milliseconds, by Redis' clock).
    `prompt_hold` is the part of the hold that everything but the output may cost, `output_price` what each token of the
    output's limit adds to it (see `admission.Offer`); `cache` is what the call wants of the response cache; `groups` are
    the caller's at that moment, by which `file_search` finds (`knowledge.access`); `chain` are the models that may
    answer, `timeout` the seconds that the request allows itself.
    """

    levels: Sequence[Level]
    estimated_tokens: int
    prompt_hold: Decimal
    output_limit: int
    retention_days: int
    output_price: Decimal = Decimal(0)
    cache: Wish | None = None
    end_user: str = ""
    groups: frozenset[str] = frozenset()
    prompt_version: UUID | None = None
    chain: Sequence[ChainModel] = ()
    timeout: float | None = None
    taken_at: int = 0

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
            "taken_at": self.taken_at,
            "estimated_tokens": self.estimated_tokens,
            "prompt_hold": str(self.prompt_hold),
            "output_price": str(self.output_price),
            **({"cache": self.cache.as_json()} if self.cache else {}),
            "output_limit": self.output_limit,
            "retention_days": self.retention_days,
            "groups": sorted(self.groups),
            **({"prompt_version": self.prompt_version} if self.prompt_version else {}),
            "chain": [model.as_json() for model in self.chain],
            **({"timeout": self.timeout} if self.timeout is not None else {}),
        }

    def release(self, tenant_id: UUID, call_id: UUID, *, refund: int) -> list[Any]:
        """What EVAL needs to end the call's place among the limits and give `refund` tokens back."""
        return release_arguments(
            tenant_id=tenant_id, call_id=call_id, refund=refund, levels=self.levels, taken_at=self.taken_at
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Admitted":
        """From the row."""
        levels = [Level(name, UUID(hex=ident), Rates(*rates)) for name, ident, *rates in data["levels"]]
        numbers = {name: data[name] for name in ("estimated_tokens", "output_limit", "retention_days")}
        groups = frozenset(data.get("groups", ()))
        version = data.get("prompt_version")
        chain = tuple(ChainModel.from_json(row) for row in data.get("chain", ()))
        return cls(
            levels=levels,
            prompt_hold=Decimal(data["prompt_hold"]),
            output_price=Decimal(data.get("output_price", 0)),
            cache=Wish.from_json(data.get("cache")),
            groups=groups,
            prompt_version=UUID(version) if version else None,
            chain=chain,
            timeout=data.get("timeout"),
            taken_at=data.get("taken_at", 0),
            **numbers,
        )


@dataclass(frozen=True)
class Admission:
    """A call to be admitted: its row, its place in the queue, and its hold. Money in the tenant's currency.

    `priority`: of a tenant's calls on the queue the lowest go first. `line_id`: the batch's line that becomes this call.
    `lease`: how long the hold lasts at most, where a call may wait longer than one that somebody waits for. `tags`: by which
    its cost is told apart (`tenants.tags`). `tokens` of the month are held, at least `tokens_min`, where `quotas` limit them.
    """

    tenant_id: UUID
    generation_id: UUID
    key_id: UUID
    kind: str
    alias: str
    model: str
    request: bytes
    admitted: Admitted
    inbox: str
    share: work.Share
    hold_min: Decimal
    hold: Decimal
    currency: str
    quote: Quote
    idempotency_key: str | None = None
    fingerprint: str | None = None
    queue: str = work.GENERATION
    priority: int = 0
    line_id: UUID | None = None
    lease: timedelta | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    tokens_min: int = 0
    tokens: int = 0
    quotas: Quotas = NO_QUOTAS

    def as_json(self, number: int) -> dict[str, Any]:
        """As `admit_generations` reads it."""
        return {
            "n": number,
            "tenant": self.tenant_id,
            "id": self.generation_id,
            "key": self.key_id,
            "kind": self.kind,
            "alias": self.alias,
            "model": self.model,
            "request": orjson.Fragment(self.request),
            "terms": self.admitted.as_json(),
            "inbox": self.inbox,
            "weight": self.share.weight,
            "head_start": self.share.head_start,
            "end_user": self.admitted.end_user,
            "hold_min": str(self.hold_min),
            "hold": str(self.hold),
            "currency": self.currency,
            "prices": orjson.Fragment(prices_json(self.quote)),
            "lease": f"{self._lease_seconds} seconds",
            "idempotency_key": self.idempotency_key,
            "fingerprint": self.fingerprint,
            "queue": self.queue,
            "priority": self.priority,
            "line": self.line_id,
            "tags": self.tags,
            "tokens_min": self.tokens_min,
            "tokens": self.tokens,
            "key_quota": self.quotas.key,
            "tenant_quota": self.quotas.tenant,
        }

    @property
    def _lease_seconds(self) -> float:
        return self.lease.total_seconds() if self.lease else settings.GENERATION_DEADLINE_SECONDS * 2


@dataclass(frozen=True)
class Call:
    """A claimed generation, loaded: everything its worker needs. Without `held` nothing pays for it any more."""

    tenant_id: UUID
    id: UUID
    attempt: int
    kind: str
    key_id: UUID
    alias: str
    model: str
    request: str
    admitted: Admitted
    inbox: str
    hold: Decimal
    prices: list[dict[str, Any]]
    created_at: datetime
    held: bool = True
    claimed_at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def chain(self) -> Sequence[ChainModel]:
        """The models that may answer, the one asked for first."""
        return self.admitted.chain or (ChainModel(self.model, self.model),)

    @property
    def seconds(self) -> float:
        """How long the call may take from its claim: the platform's limit, or what is left of its own."""
        if self.admitted.timeout is None:
            return settings.GENERATION_DEADLINE_SECONDS
        waited = max(0.0, (datetime.now(UTC) - self.created_at).total_seconds())
        return max(0.0, min(settings.GENERATION_DEADLINE_SECONDS, self.admitted.timeout - waited))


@dataclass
class Outcome:
    """How a call ended. `lines` is what it used, whatever became of it; `trace` and `found` are `tracing`'s."""

    state: str
    lines: list[UsageLine] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    trace: dict[str, Any] | None = None
    found: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Settlement:
    """A claimed call that has ended, to be settled."""

    claim: work.Claim
    key_id: UUID
    outcome: Outcome
    retention_days: int

    def as_json(self, number: int) -> dict[str, Any]:
        """As `settle_generations` reads it."""
        outcome = self.outcome
        reservation = "unknown" if outcome.state == "unknown" else ("settled" if outcome.lines else "released")
        return {
            "n": number,
            "tenant": self.claim.tenant_id,
            "id": self.claim.id,
            "key": self.key_id,
            "attempt": self.claim.attempt,
            "state": "failed" if outcome.state == "unknown" else outcome.state,
            "reservation_state": reservation,
            "answer": outcome.answer,
            "error": outcome.error,
            "attempts": outcome.attempts,
            "trace": outcome.trace,
            "found": outcome.found,
            "lines": orjson.Fragment(lines_json(outcome.lines)),
            "retention_days": self.retention_days,
        }
