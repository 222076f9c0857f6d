"""The models a tenant may use."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.base import TenantAdmin

from .. import catalogue
from ..models import Grant


@admin.register(Grant)
class GrantAdmin(TenantAdmin):
    """The models a tenant may use, by alias; staff grant and take away."""

    icon, label, area = "smart_toy", "Granted models", "models"
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
