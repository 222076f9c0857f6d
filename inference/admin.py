"""Admin pages of inference: what a tenant may use and what it called; the catalogue for platform staff."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from unfold.decorators import display

from billing.models import UsageRecord
from billing.reservations import plain
from tenants.admin_base import BILLING, KNOWLEDGE, AtriumAdmin, TenantAdmin

from . import catalogue, prompts_admin, routing_admin  # noqa: F401  the latter two register their pages
from .deployment_form import DeploymentForm
from .models import Deployment, Generation, Grant, Model
from .safety import admin as safety_admin  # noqa: F401  which registers its pages


@admin.register(Grant)
class GrantAdmin(TenantAdmin):
    """The models a tenant may use, by alias; staff grant and take away."""

    group, icon, label, area = KNOWLEDGE, "smart_toy", "Granted models", "models"
    offers = frozenset({"add", "delete"})
    list_display = ("alias", "model_name", "kind", "context_window", "max_output_tokens", "created_at")
    list_select_related = ("model",)
    search_fields = ("alias", "model__name")
    ordering = ("alias",)
    add_fields = ("alias", "model", "max_output_tokens")
    fields = ("alias", "model_name", "kind", "context_window", "max_output_tokens", "created_at")
    readonly_fields = ("model_name", "kind", "context_window")

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


@admin.register(Generation)
class GenerationAdmin(TenantAdmin):
    """Calls: which model, how it ended, when, for how much. Prompts and answers are not shown, nor even read."""

    group, icon, label, area = BILLING, "bolt", "Calls", "usage"
    list_display = ("id", "kind", "model", "shown_state", "cost", "created_at", "finished_at")
    list_filter = ("state", "kind")
    search_fields = ("=id",)
    search_help_text = "The id of a call."
    ordering = ("-id",)
    fields = (
        "id", "kind", "alias", "model", "shown_state", "error_code", "cost", "key_id", "created_at", "finished_at",
    )  # fmt: skip
    readonly_fields = ("id", "shown_state", "error_code", "cost")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generation]:
        """Without content, with the cost."""
        # Lines that correct nothing are the ones that the ledger's unique index finds by request.
        lines = UsageRecord.objects.filter(
            tenant_id=OuterRef("tenant_id"), request_id=OuterRef("id"), corrects__isnull=True
        )
        cost = lines.order_by().values("request_id", "currency").annotate(sum=Sum("cost"))
        return (
            super()
            .get_queryset(request)
            .defer("request", "answer", "terms")
            .annotate(settled=Subquery(cost.values("sum")[:1]), currency=Subquery(cost.values("currency")[:1]))
        )

    @display(
        description="State",
        label={"completed": "success", "failed": "danger", "cancelled": "warning", "running": "info", "queued": ""},
    )
    def shown_state(self, row: Generation) -> str:
        return row.state

    @display(description="Cost when settled")
    def cost(self, row: Any) -> str:
        return "" if row.settled is None else f"{plain(row.settled)} {row.currency}"

    @display(description="Error")
    def error_code(self, row: Generation) -> str:
        return str((row.error or {}).get("code") or "")


@admin.register(Model)
class ModelAdmin(AtriumAdmin):
    """The catalogue of models."""

    icon = "deployed_code"
    offers = frozenset({"add", "change"})
    list_display = ("name", "kind", "context_window", "max_output_tokens", "strategy", "capabilities", "owned_by")
    list_filter = ("kind",)
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(Deployment)
class DeploymentAdmin(AtriumAdmin):
    """Where the platform's models answer."""

    icon = "dns"
    offers = frozenset({"add", "change"})
    form = DeploymentForm
    list_display = ("name", "model", "provider", "base_url", "weight", "enabled", "breaker")
    list_select_related = ("model",)
    list_filter = ("provider", "enabled")
    search_fields = ("name", "model__name", "base_url")
    ordering = ("name",)
    fields = (
        "model", "name", "provider", "base_url", "upstream_model", "region",
        "new_api_key", "new_access_key_id", "new_secret_access_key", "new_session_token", "forget_credentials",
        "weight", "max_concurrent", "health_check", "enabled",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        """Credentials stay encrypted in the database."""
        return super().get_queryset(request).defer(*Deployment.CREDENTIALS)

    @display(description="Breaker")
    def breaker(self, row: Deployment) -> str:
        return routing_admin.breaker_of(row.id)
