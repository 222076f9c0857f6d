"""The attempts of one call: deployment after deployment, then model after model, while that is safe.

    async for attempt in Route(...).attempts():
        async with attempt:
            ...  # ask attempt.deployment; attempt.first_token() once something was produced

The loop ends after an attempt that raised nothing. A failure is swallowed, and the next attempt follows, where nothing
was produced yet and another try may help (`taxonomy`); otherwise, and when nobody is left to ask, it is raised.

Another deployment is asked at once; the same one again after a moment with jitter, or after what it asked for itself
(`retry-after`), never beyond the call's deadline. Deployments whose breaker is open are passed by: if that leaves none,
and no fallback, the call fails at once and says when to come back.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from ..calls import Call
from ..catalogue import NoDeployment, all_deployments_of, remembered_deployments
from ..models import DeploymentBase, Model, TenantDeployment
from ..providers.base import Prompt, ProviderError, Usage
from ..taxonomy import KINDS, ErrorKind, kind_of
from ..terms import ChainModel
from ..threads import in_thread
from . import strategies
from .board import Board, Place

#: Attempts with one model; with one that has a fallback, where trying the same again is less use; and in all.
MAX_A_MODEL, MAX_BEFORE_FALLBACK, MAX_IN_ALL = 3, 2, 6
#: The longest a call waits for a deployment to be asked again; with a fallback to turn to, and without.
_PATIENCE_BEFORE_FALLBACK, _PATIENCE = 0.5, 5.0
_FIRST_PAUSE = 0.1


@dataclass
class Attempt:
    """One deployment, asked once. Enter it around the call of the provider."""

    route: "Route"
    number: int
    deployment: DeploymentBase
    model: ChainModel
    place: Place | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    latency_ms: float = 0.0
    ttft_ms: float | None = None
    kind: ErrorKind | None = None
    error_class: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    _started: float = field(default_factory=time.perf_counter)

    @property
    def upstream_model(self) -> str:
        """What the server knows the model, or the variant, as."""
        return self.model.adapter or self.deployment.upstream_model

    def first_token(self) -> None:
        """Something was produced: from now on no other attempt may follow."""
        if self.ttft_ms is None:
            self.ttft_ms = self._elapsed()

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt, with no more to answer than the model can."""
        most = self.model.max_output_tokens
        return replace(prompt, max_output_tokens=most) if 0 < most < prompt.max_output_tokens else prompt

    def used(self, usage: Usage) -> None:
        """What it used, for its row."""
        self.input_tokens, self.output_tokens = usage.input_tokens, usage.output_tokens

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)

    async def __aenter__(self) -> "Attempt":
        self.started_at, self._started = datetime.now(UTC), time.perf_counter()
        self.route.board.underway.entered(str(self.deployment.pk))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.latency_ms = self._elapsed()
        self.route.board.underway.left(str(self.deployment.pk))
        if self.place is not None:
            self.route.board.leave(self.place)
        if exc is None:
            self.route.answered(self)
            return False
        self.kind = KINDS["cancelled"] if isinstance(exc, asyncio.CancelledError) else kind_of(exc)
        self.error_class = type(exc).__name__
        if not isinstance(exc, ProviderError):
            return False
        await self.route.failed(self, exc)
        return self.ttft_ms is None and (self.kind.again or self.kind.elsewhere)

    def as_json(self) -> dict[str, Any]:
        """For the attempt's row; what it cost is what the ledger's lines of its number cost."""
        kind = self.kind
        return {
            "number": self.number,
            "deployment_id": str(self.deployment.pk),
            "deployment": self.deployment.name,
            "model": self.model.name,
            "started_at": self.started_at.isoformat(),
            "latency_ms": self.latency_ms,
            "ttft_ms": self.ttft_ms,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            **(
                {"category": kind.category, "code": kind.code, "retryable": kind.retryable}
                | {"error_class": self.error_class}
                if kind
                else {}
            ),
        }


class Route:
    """Where one call may be answered, and what became of it there.

    No attempt begins, and no pause ends, after the call's deadline.

    Args:
        stream: whether the time to the first token counts, or that of the whole answer.
        made: takes every attempt as it is made.
    """

    def __init__(self, *, call: Call, stream: bool, board: Board, made: list[Attempt]) -> None:
        self.board = board
        self.made = made
        self._tenant_id = call.tenant_id
        self._chain = call.chain
        self._kind = "first" if stream else "whole"
        self._deadline = call.claimed_at + call.seconds
        # A call that was claimed before has attempts of these numbers, at most.
        self._first_number = (call.attempt - 1) * MAX_IN_ALL + 1
        self._failure: ProviderError | None = None
        self._done = False
        self._soonest: float | None = None

    async def attempts(self) -> AsyncIterator[Attempt]:
        """One attempt after the other; see the module's docstring.

        Raises:
            ProviderError: the last failure, when nobody is left to ask.
            NoDeployment: nobody could be asked.
        """
        await self.board.look()
        for position, model in enumerate(self._chain):
            last = position == len(self._chain) - 1
            async for attempt in self._with_model(model, last=last):
                yield attempt
            if self._done:
                return
        raise self._failure or NoDeployment(self._chain[0].name, retry_after=self._soonest)

    async def _with_model(self, model: ChainModel, *, last: bool) -> AsyncIterator[Attempt]:
        rows = await self._deployments(model)
        strategy = rows[0].model.strategy if rows else Model.Strategy.WEIGHTED  # type: ignore[attr-defined]
        order = strategies.ordered(rows, strategy, lambda row: self.board.speed(str(row.pk), self._kind))
        counted = strategy == Model.Strategy.LEAST_BUSY and len(order) > 1
        untried, again = list(order), list[DeploymentBase]()
        for tries in range(MAX_A_MODEL if last else MAX_BEFORE_FALLBACK):
            if len(self.made) >= MAX_IN_ALL or time.monotonic() >= self._deadline:
                return
            attempt = await self._from(untried, model, counted)
            if attempt is None and not again:
                # Nobody was asked yet: those that rest are waited for, if they do not rest long.
                again = untried
            if attempt is None:
                attempt = await self._after_a_pause(again, model, counted, tries, last=last)
            if attempt is None:
                return
            untried = [row for row in untried if row.pk != attempt.deployment.pk]
            self.made.append(attempt)
            yield attempt
            if self._done:
                return
            again = [row for row in again if row.pk != attempt.deployment.pk]
            if attempt.kind is not None and attempt.kind.again:
                again.append(attempt.deployment)

    async def _deployments(self, model: ChainModel) -> list[DeploymentBase]:
        """Those that the call's price was made for: the tenant's own, or the platform's."""
        rows = remembered_deployments(self._tenant_id, model.served_by)
        if rows is None:
            rows = await in_thread(all_deployments_of, model.served_by)
        return [row for row in rows if isinstance(row, TenantDeployment) == model.own]

    async def _from(self, rows: list[DeploymentBase], model: ChainModel, counted: bool) -> Attempt | None:
        """An attempt with the first of `rows` that may be asked now; None where none may."""
        ready = [row for row in rows if self._ready(row)]
        while ready:
            index, place = 0, None
            if counted or any(row.max_concurrent for row in ready):
                taken = await self.board.take(ready, least_busy=counted)
                if taken is None:
                    return None
                index, place = taken
            row = ready.pop(index)
            if not self.board.half_open(str(row.pk)) or await self.board.may_probe(str(row.pk)):
                number = self._first_number + len(self.made)
                return Attempt(self, number, row, model, place)
            if place is not None:
                self.board.leave(place)
        return None

    def _ready(self, row: DeploymentBase) -> bool:
        wait = self.board.wait_for(str(row.pk))
        if wait > 0 and (self._soonest is None or wait < self._soonest):
            self._soonest = wait
        return wait <= 0

    async def _after_a_pause(
        self, rows: list[DeploymentBase], model: ChainModel, counted: bool, tries: int, *, last: bool
    ) -> Attempt | None:
        """An attempt with one of `rows` after a moment, if it may be asked soon enough."""
        rows = [row for row in rows if not self.board.is_open(str(row.pk))]
        if not rows:
            return None
        patience = min(_PATIENCE if last else _PATIENCE_BEFORE_FALLBACK, self._deadline - time.monotonic())
        wait = min(self.board.wait_for(str(row.pk)) for row in rows)
        pause = max(wait, _FIRST_PAUSE * 2 ** max(0, tries - 1)) * random.uniform(1.0, 1.5)
        if max(wait, 0) > patience or pause > self._deadline - time.monotonic():
            return None
        await asyncio.sleep(pause)
        return await self._from(rows, model, counted)

    def answered(self, attempt: Attempt) -> None:
        """It was answered: nothing to wait for."""
        self._done = True
        ident = str(attempt.deployment.pk)
        self.board.succeeded(ident)
        model: Model = attempt.deployment.model  # type: ignore[attr-defined]
        if model.strategy == Model.Strategy.FASTEST:
            first = attempt.ttft_ms if self._kind == "first" else None
            self.board.measured(ident, self._kind, attempt.latency_ms if first is None else first)

    async def failed(self, attempt: Attempt, error: ProviderError) -> None:
        """Tell the others, and remember why."""
        self._failure = error
        ident = str(attempt.deployment.pk)
        kind = attempt.kind
        assert kind is not None
        if kind.faulty:
            await self.board.failed(ident)
        elif kind.code == "upstream_rate_limited":
            await self.board.rests(ident, error.retry_after or 1.0)
