"""Moderation models: an upstream that says whether a text is harmful, and in what way. Never where, so nothing is masked.

Two kinds of deployments serve one: servers that speak OpenAI's `/moderations`, and guardrails at Amazon Bedrock
(ApplyGuardrail; its `upstream_model` is `<id>:<version>`). Each question is paid for by itself: a hold under the call's,
settled by the number of texts that were looked at. Where the model does not answer, the policy says whether a text
passes unjudged (which is recorded) or the call fails.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, Protocol
from uuid import UUID

import structlog

from billing.models import Meter
from billing.prices import quote
from billing.reservations import UsageLine, dispatched, release, reserve_child, settle
from tenants.errors import AtriumError
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.scope import tenant_scope

from ..bedrock_accounts import bedrock_account
from ..catalogue import deployments_of, granted_models
from ..models import DeploymentBase, Model, TenantDeployment
from ..providers.base import ProviderError
from ..providers.bedrock import apply_guardrail
from ..providers.openai_http import headers_with, posted, whole
from ..providers.openai_wire import garbage, json_object
from ..threads import in_thread
from .policy import ModerationSettings

log = structlog.get_logger("atrium.safety")

Source = Literal["INPUT", "OUTPUT"]
#: Longer texts are judged in pieces, each paid for: servers take so much at once.
LONGEST_TEXT = 10_000
_SECONDS = 10.0
_LEASE = timedelta(minutes=2)


class ModerationAway(AtriumError):
    """The policy wants texts judged, and the moderation model does not answer."""

    status = 503
    type = "server_error"
    code = "moderation_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "Your organization's safety policy wants this call judged by a moderation model, which does not answer at the "
            "moment. Try again shortly.",
            headers={"retry-after": "2"},
        )


@dataclass(frozen=True)
class Judgement:
    """What a moderation model says of a text: the categories that it finds, with scores where it gives some."""

    flagged: bool
    categories: Mapping[str, float | None] = field(default_factory=dict)


#: A text that passed because nobody could judge it.
UNJUDGED = Judgement(True, {"not_judged": None})


class Judge(Protocol):
    """A deployment of a moderation model."""

    async def judge(self, texts: Sequence[str], source: Source) -> list[Judgement]:
        """A judgement for each text, in order.

        Raises:
            ProviderError: it failed.
        """


class OpenAIModeration:
    """A server that speaks OpenAI's `/moderations`."""

    def __init__(self, deployment: DeploymentBase, thresholds: Mapping[str, float]) -> None:
        self._url = deployment.base_url.rstrip("/") + "/moderations"
        self._model = deployment.upstream_model
        self._thresholds = thresholds
        self._headers = headers_with(deployment.api_key)
        self._public = isinstance(deployment, TenantDeployment)

    async def judge(self, texts: Sequence[str], source: Source) -> list[Judgement]:
        """One POST for all of them."""
        body = {"model": self._model, "input": list(texts)}
        try:
            async with (
                asyncio.timeout(_SECONDS),
                posted(self._url, self._headers, body, public=self._public) as posting,
            ):
                answer = json_object(await whole(posting))
        except TimeoutError as error:
            raise ProviderError("The moderation model did not answer in time.", code="upstream_timeout") from error
        try:
            results = [self._judgement(result) for result in answer["results"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise garbage("something else than judgements") from error
        if len(results) != len(texts):
            raise garbage("another number of judgements")
        return results

    def _judgement(self, result: dict[str, Any]) -> Judgement:
        scores = {str(name): float(score) for name, score in (result.get("category_scores") or {}).items()}
        if self._thresholds:
            over = {name: scores[name] for name, least in self._thresholds.items() if scores.get(name, -1.0) >= least}
            return Judgement(bool(over), over)
        named = [str(name) for name, found in (result.get("categories") or {}).items() if found]
        return Judgement(bool(result["flagged"]), {name: scores.get(name) for name in named})


class BedrockGuardrail:
    """A guardrail at Amazon Bedrock. What it would mask counts as found; thresholds are its own."""

    def __init__(self, deployment: DeploymentBase) -> None:
        self._account = bedrock_account(deployment)
        name, colon, version = deployment.upstream_model.rpartition(":")
        versioned = bool(colon) and (version.isdecimal() or version == "DRAFT")
        self._id = name if versioned else deployment.upstream_model
        self._version = version if versioned else "DRAFT"

    async def judge(self, texts: Sequence[str], source: Source) -> list[Judgement]:
        """One question for each, all at once."""
        verdicts = await apply_guardrail(
            self._account, guardrail_id=self._id, version=self._version, source=source, texts=texts
        )
        return [
            Judgement(verdict.intervened, {f"{found.policy}:{found.name}": None for found in verdict.findings})
            for verdict in verdicts
        ]


def judge_of(deployment: DeploymentBase, thresholds: Mapping[str, float]) -> Judge:
    """The client for a deployment of a moderation model."""
    if deployment.provider == DeploymentBase.Provider.BEDROCK:
        return BedrockGuardrail(deployment)
    return OpenAIModeration(deployment, thresholds)


@dataclass(frozen=True)
class _Held:
    """A question that is paid for."""

    reservation_id: UUID
    model: str
    deployment: DeploymentBase


class Moderation:
    """The moderation model of one stage of a call.

    Args:
        numbers: of the call's questions: each is an attempt of its own in the ledger.
    """

    def __init__(
        self, asked: ModerationSettings, *, call_id: UUID, source: Source, numbers: "itertools.count[int]"
    ) -> None:
        self.asked = asked
        self._call_id = call_id
        self._source = source
        self._numbers = numbers

    async def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """A judgement for each text; one in pieces is flagged where one of them is.

        Raises:
            ModerationAway: the model does not answer, and the policy lets nothing pass unjudged.
            BudgetExhausted, BudgetHeld: its price is not left.
        """
        if not texts:
            return []
        pieces = [_pieces(text) for text in texts]
        try:
            judged = await self._ask([piece for parts in pieces for piece in parts])
        except ProviderError as error:
            log.warning("a moderation model did not answer", model=self.asked.model, code=error.code)
            if self.asked.when_away == "block":
                raise ModerationAway from error
            return [UNJUDGED] * len(texts)
        following = iter(judged)
        return [_together(list(itertools.islice(following, len(parts)))) for parts in pieces]

    async def _ask(self, texts: list[str]) -> list[Judgement]:
        held = await in_thread(_hold, self._call_id, self.asked.model, len(texts))
        try:
            judged = await judge_of(held.deployment, self.asked.thresholds).judge(texts, self._source)
        except ProviderError:
            await in_thread(release, held.reservation_id)
            raise
        line = UsageLine(
            held.model,
            str(Meter.MODERATION_CALLS),
            len(texts),
            next(self._numbers),
            provider=held.deployment.provider,
        )
        await in_thread(partial(settle, held.reservation_id, [line]))
        return judged


def _hold(call_id: UUID, alias: str, texts: int) -> _Held:
    """Find the model, and hold its price under the call's own hold.

    Raises:
        ProviderError: it is not granted any more, or nothing serves it.
    """
    with tenant_scope() as tenant_id:
        granted = next((row for row in granted_models(Model.Kind.MODERATION) if row.alias == alias), None)
        deployments = deployments_of(granted.model.name) if granted else []
        if granted is None or not deployments:
            raise ProviderError(f"Nothing serves the moderation model '{alias}'.", code="no_deployment")
        currency = Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)
        need = (granted.model.name, str(Meter.MODERATION_CALLS))
        prices = quote(needs=[need], currency=currency, now=datetime.now(UTC))
        reservation_id = uuid7()
        reserve_child(
            call_id, reservation_id=reservation_id, operation="moderation", hold=prices[need].cost(texts), quote=prices,
            lease=_LEASE,
        )  # fmt: skip
        dispatched(reservation_id)
    return _Held(reservation_id, granted.model.name, deployments[0])


def _pieces(text: str) -> list[str]:
    return [text[start : start + LONGEST_TEXT] for start in range(0, len(text), LONGEST_TEXT)] or [""]


def _together(judged: Sequence[Judgement]) -> Judgement:
    """Of the pieces of one text: all categories, each with its highest score."""
    categories: dict[str, float | None] = {}
    for one in judged:
        for name, score in one.categories.items():
            known = categories.get(name)
            categories[name] = score if known is None or (score is not None and score > known) else known
    return Judgement(any(one.flagged for one in judged), categories)
