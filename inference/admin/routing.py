"""Admin pages of routing: fallbacks for platform staff; a tenant's variants, and the attempts of its calls."""

import time
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import display

from billing.reservations import plain
from tenants.desk.base import AtriumAdmin, TenantAdmin
from tenants.desk.filters import WhenFilter, one_of
from tenants.desk.long_lists import LongListAdmin
from tenants.memory import Memory

from ..models import Fallback, InferenceAttempt, Variant
from ..routing.health import Known, calls_under_way, states
from ..taxonomy import Category
from .links import request_link

_states: Memory[str, dict[str, Known]] = Memory(1.0)


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5)


def breakers() -> dict[str, Known]:
    """What the workers know of deployments at the moment, by id: read once a second for all of them."""
    known, started = _states.get("all"), time.monotonic()
    if known is None:
        known = states(_redis())
        _states.keep("all", known, since=started)
    return known


def breaker_of(deployment_id: object) -> str:
    """The same of one, for a list."""
    found = breakers().get(str(deployment_id))
    return "closed" if found is None else f"{found.state}, {found.seconds:.0f} s"


def calls_by_deployment() -> dict[str, int] | None:
    """Calls under way, by deployment; None where nobody can say."""
    return calls_under_way(_redis())


@admin.register(Fallback)
class FallbackAdmin(AtriumAdmin):
    """Which model answers in another's place."""

    icon = "alt_route"
    offers = frozenset({"add", "change", "delete"})
    list_display = ("model", "position", "fallback")
    list_select_related = ("model", "fallback")
    search_fields = ("model__name", "fallback__name")
    ordering = ("model__name", "position")
    fields = ("model", "fallback", "position")


@admin.register(Variant)
class VariantAdmin(TenantAdmin):
    """A tenant's fine-tunes; a member's have a page on which their states change."""

    icon, area = "tune", "variants"
    empty_text = "No variant yet. Fine-tuned variants of a model are registered by the API."
    list_display = ("name", "base", "adapter", "state", "served_by", "created_at")
    list_select_related = ("base",)
    list_filter = ("state",)
    search_fields = ("name", "base__name")
    ordering = ("name",)
    fields = ("name", "base", "adapter", "state", "served_by", "created_at")
    readonly_fields = ("served_by", "created_at")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A member's is its own page."""
        self._refuse_strangers(request)
        if self._visitor(request).staff or self.get_object(request, unquote(object_id)) is None:
            return super().change_view(request, object_id, form_url, extra_context)
        return HttpResponseRedirect(reverse("admin:variant", args=[unquote(object_id)]))

    @display(description="Served by")
    def served_by(self, row: Variant) -> str:
        return "the tenant's own accounts" if row.by_tenant else "the platform"


@admin.register(InferenceAttempt)
class InferenceAttemptAdmin(LongListAdmin):
    """Which deployment was asked for a call, how long it took and how it failed. By the id that a customer quotes."""

    icon, label, area = "route", "Attempts", "requests"
    list_display = (
        "started_at", "call", "number", "deployment", "model", "result", "took", "first_token", "shown_cost",
    )  # fmt: skip
    list_filter = (
        one_of("category", [(one.value, one.value.capitalize()) for one in Category], "kind of failure"),
        WhenFilter,
    )  # fmt: skip
    found_by = ("generation_id", "id")
    search_help_text = "The id of a request: the x-request-id that its client was given."
    empty_text = "No model has been asked yet. Each time one is, it appears here."
    fields = (
        "call", "number", "deployment", "model", "started_at", "latency_ms", "ttft_ms", "input_tokens",
        "output_tokens", "shown_cost", "category", "code", "error_class", "retryable",
    )  # fmt: skip
    readonly_fields = ("call", "shown_cost")

    @display(description="Request")
    def call(self, row: InferenceAttempt) -> str:
        return request_link(row.generation_id)

    @display(description="Result", label=True)
    def result(self, row: InferenceAttempt) -> tuple[str, str]:
        return ("danger", row.code) if row.code else ("success", "answered")

    @display(description="Took")
    def took(self, row: InferenceAttempt) -> str:
        return f"{row.latency_ms:,.0f} ms"

    @display(description="First token")
    def first_token(self, row: InferenceAttempt) -> str:
        return "" if row.ttft_ms is None else f"{row.ttft_ms:,.0f} ms"

    @display(description="Cost")
    def shown_cost(self, row: InferenceAttempt) -> str:
        return "" if row.cost is None else plain(row.cost)
