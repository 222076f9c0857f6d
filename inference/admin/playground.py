"""The playground: a page that calls the public API from the browser, and the doors that its script asks."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django_ratelimit.core import is_ratelimited

from billing.reservations import plain
from knowledge.models import VectorStore
from tenants.desk.pages import DeskData, DeskPage, desk_page
from tenants.errors import AtriumError, InvalidRequest
from tenants.ids import public_id
from tenants.playground_keys import issue_playground_key

from .. import playground
from ..advice import ADVICE
from ..model_cards import ModelCard
from ..prompts.library import PREFIX as PROMPT_PREFIX

_ANY = UUID(int=0)


class TooManyKeys(AtriumError):
    """Keys are asked for faster than a person tries things."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


@desk_page
class PlaygroundPage(DeskPage):
    """Try a model: what to ask on the left, the conversation on the right."""

    name, path = "playground", "playground/"
    area = "playground"
    icon, label, title = "forum", "Playground", "Playground"
    template_name = "desk/playground.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What there is to choose from, for the form and its script."""
        if self.visitor.staff:
            return super().get_context_data(needs_tenant=True, **kwargs)
        found = playground.offered(now=datetime.now(UTC))
        former, refused = self._former()
        return super().get_context_data(
            offered=found,
            usable=[card for card in found.models if not card.unusable],
            stores=[(public_id("vs_", store.id), store) for store in found.stores],
            searched=_searched(found.stores) if "prompt" not in self.request.GET else None,
            refused=refused,
            data={
                "api": "/v1/responses",
                "doors": _doors(),
                "models": {card.grant.alias: _model(card, found.currency) for card in found.models},
                "former": former,
                "model": self.request.GET.get("model", ""),
                "prompt": self.request.GET.get("prompt", ""),
                "version": self.request.GET.get("version", ""),
                "advice": ADVICE,
            },
            **kwargs,
        )

    def _former(self) -> tuple[dict[str, Any] | None, str]:
        asked = self.request.GET.get("from", "")
        if not asked:
            return None, ""
        if not self.visitor.may("content.view"):
            return None, "Your role does not include what was asked and answered."
        try:
            return vars(playground.former_request(call_id=asked)), ""
        except AtriumError as error:
            return None, error.message


@desk_page
class PlaygroundKey(DeskData):
    """A key for half an hour, for the page's calls."""

    name, path = "playground_key", "playground/key/"
    area = "playground"
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """`issue_playground_key`; the key is in this answer and nowhere else."""
        if is_ratelimited(request, group="admin.playground", key="user", rate="60/h", increment=True):
            raise TooManyKeys("That is 60 keys within the hour. Try again later.")
        if self.visitor.staff:
            raise InvalidRequest("The playground belongs to a tenant.")
        groups = _groups(request)
        key, value = issue_playground_key(
            user_id=self.visitor.user_id, by=self.visitor.actor, now=datetime.now(UTC), groups=groups
        )
        assert key.expires_at is not None
        answer = {"key": value, "expires_at": int(key.expires_at.timestamp())}
        return JsonResponse(answer)


def _groups(request: HttpRequest) -> list[str]:
    try:
        given = json.loads(request.body or b"{}").get("groups") or []
    except (ValueError, AttributeError) as error:
        raise InvalidRequest("The body must be a JSON object.") from error
    return given if isinstance(given, list) else [given]


class _Reading(DeskData, ABC):
    """Doors that only read."""

    area = "playground"
    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """What the door says, or why not."""
        try:
            return JsonResponse(self.said(**kwargs))
        except AtriumError as error:
            return self.refused(request, error)

    @abstractmethod
    def said(self, **kwargs: Any) -> dict[str, Any]:
        """The answer."""


@desk_page
class PlaygroundCall(_Reading):
    """What a call came to, once it is settled."""

    name, path = "playground_call", "playground/calls/<str:call_id>/"

    def said(self, **kwargs: Any) -> dict[str, Any]:
        """`call_facts`."""
        facts = playground.call_facts(call_id=kwargs["call_id"])
        return {
            "state": facts.state,
            "model": facts.model,
            "cost": None if facts.cost is None else plain(facts.cost),
            "currency": facts.currency,
            "attempts": facts.attempts,
            "page": reverse("admin:inference_generation_change", args=[facts.id]),
        }


@desk_page
class PlaygroundPrompt(_Reading):
    """What the versions of a prompt say, and which variables they have."""

    name, path = "playground_prompt", "playground/prompts/<uuid:prompt_id>/"

    def said(self, **kwargs: Any) -> dict[str, Any]:
        """`prompt_versions`."""
        rows = playground.prompt_versions(prompt_id=kwargs["prompt_id"])
        return {
            "versions": [{"number": row.number, "note": row.note, **row.definition} for row in rows],
            "id": public_id(PROMPT_PREFIX, kwargs["prompt_id"]),
        }


def _searched(stores: Sequence[VectorStore]) -> UUID | None:
    """The newest that has something to find: a first question is then answered from the tenant's own documents."""
    return next((store.id for store in stores if store.chunk_count), None)


def _doors() -> dict[str, str]:
    """Where the script goes; `id` stands for what it puts in."""
    return {
        "key": reverse("admin:playground_key"),
        "call": reverse("admin:playground_call", args=["id"]),
        "prompt": reverse("admin:playground_prompt", args=[_ANY]).replace(str(_ANY), "id"),
        "file": reverse("admin:file_preview", args=[_ANY]).replace(str(_ANY), "id"),
    }


def _model(card: ModelCard, currency: str) -> dict[str, Any]:
    """What the form says of a model, and by what it bounds its fields."""
    grant = card.grant
    return {
        "target": card.target,
        "canary": f"{grant.canary_share} % of users get {card.canary}" if card.canary else "",
        "context_window": grant.model.context_window,
        "max_output_tokens": card.max_output_tokens,
        "default_max_tokens": grant.default_max_tokens,
        "default_temperature": grant.default_temperature,
        "min_temperature": grant.min_temperature,
        "max_temperature": grant.max_temperature,
        "capabilities": grant.model.capabilities,
        "searches": grant.allowed_tools is None or "file_search" in grant.allowed_tools,
        "prices": [
            f"{plain(price.amount)} {currency} {'each' if price.per == 1 else 'per million'} {price.words}"
            for price in card.prices
            if price.meter in ("input_tokens", "output_tokens")
        ],
        "where": card.where,
    }
