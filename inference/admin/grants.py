"""The models a tenant may use: what each alias is, costs and runs on; platform staff grant and take away."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import display

from tenants.audit_trail import trail_of
from tenants.desk.base import TenantAdmin

from .. import catalogue
from ..model_cards import model_cards, own_places
from ..models import Grant, Model
from .routing import breaker_of

_KINDS = {
    Model.Kind.CHAT: "Chat models",
    Model.Kind.EMBEDDING: "Embedding models",
    Model.Kind.RERANK: "Re-ranking models",
    Model.Kind.MODERATION: "Moderation models",
}
CAPABILITIES = {
    "vision": "sees images",
    "tools": "calls tools",
    "json_schema": "JSON by a schema",
    "logprobs": "log probabilities",
    "n": "several answers at once",
}


@admin.register(Grant)
class GrantAdmin(TenantAdmin):
    """Staff see rows of all tenants. A member sees what each alias is, and cannot grant anything."""

    icon, label, area = "smart_toy", "Models", "models"
    offers = frozenset({"add", "delete"})
    list_display = ("alias", "model_name", "kind", "context_window", "max_output_tokens", "created_at")
    list_select_related = ("model",)
    search_fields = ("alias", "model__name")
    ordering = ("alias",)
    add_fields = ("alias", "model", "max_output_tokens")
    fields = ("alias", "model_name", "kind", "context_window", "max_output_tokens", "created_at")
    readonly_fields = ("model_name", "kind", "context_window")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """A member's are few: they stand on one page, by kind, with all that tells them apart."""
        self._refuse_strangers(request)
        if self._visitor(request).staff or request.method != "GET":
            return super().changelist_view(request, extra_context)
        cards = model_cards(now=datetime.now(UTC))
        kinds = [(words, [card for card in cards if card.grant.model.kind == kind]) for kind, words in _KINDS.items()]
        return self._page(request, "desk/models.html", "Models", kinds=[pair for pair in kinds if pair[1]])

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All that is known of one alias."""
        self._refuse_strangers(request)
        row = None if self._visitor(request).staff else self.get_object(request, unquote(object_id))
        if row is None or request.method != "GET":
            return super().change_view(request, object_id, form_url, extra_context)
        card = model_cards(now=datetime.now(UTC), grant_id=UUID(str(row.pk)))[0]
        return self._page(
            request,
            "desk/model.html",
            card.grant.alias,
            card=card,
            words=[CAPABILITIES.get(name, name) for name in card.grant.model.capabilities],
            accounts=[(place, breaker_of(place.id)) for place in own_places(model_id=card.grant.model_id)],
            events=trail_of(row)[:10],
        )

    def _page(self, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
        visitor = self._visitor(request)
        assert visitor.tenant is not None
        shared = {
            **self.admin_site.each_context(request),
            "title": title,
            "currency": visitor.tenant.currency,
            "may_try": visitor.may("playground.view"),
            "may_screen": visitor.may("safety.view"),
        }
        return TemplateResponse(request, template, {**shared, **context})

    @display(description="Model", ordering="model__name")
    def model_name(self, row: Grant) -> str:
        return row.model.name

    @display(description="Kind")
    def kind(self, row: Grant) -> str:
        return row.model.kind

    @display(description="Context window")
    def context_window(self, row: Grant) -> int:
        return row.model.context_window

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Grant:
        """`catalogue.grant`."""
        data = form.cleaned_data
        return catalogue.grant(
            alias=data["alias"],
            model_name=data["model"].name,
            max_output_tokens=data["max_output_tokens"],
            by=self._visitor(request).actor,
        )
