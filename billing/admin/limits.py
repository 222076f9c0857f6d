"""Dated exceptions from plans' limits; staff add them."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.base import TenantAdmin, TenantForm

from ..limits.overrides import NewOverride, add_override
from ..models import Limit, LimitOverride


class OverrideForm(TenantForm):
    """A new override."""

    def clean_names(self) -> list[str] | None:
        """Nothing written is nothing said: the plan's again, where the limit is one of names."""
        return self.cleaned_data["names"] or None


@admin.register(LimitOverride)
class LimitOverrideAdmin(TenantAdmin):
    """Of a tenant, or of one of its keys. Rows are added, never changed: the latest that has begun is in force."""

    icon = "speed"
    offers = frozenset({"add"})
    list_display = ("limit", "shown_value", "scope", "valid_from", "reason")
    list_filter = ("limit",)
    ordering = ("-valid_from",)
    add_form = OverrideForm
    add_fields = ("limit", "value", "names", "key_id", "valid_from", "reason")
    fields = ("tenant", "limit", "shown_value", "scope", "valid_from", "reason", "created_at")
    readonly_fields = ("tenant", "limit", "shown_value", "scope", "valid_from", "reason", "created_at")

    @display(description="Value")
    def shown_value(self, row: LimitOverride) -> str:
        if row.limit == Limit.ALLOWED_MODELS:
            return "as in the plan" if row.names is None else ", ".join(row.names) or "all"
        return "as in the plan" if row.value is None else f"{row.value:,}" if row.value else "no limit"

    @display(description="Of")
    def scope(self, row: LimitOverride) -> str:
        return f"API key {row.key_id}" if row.key_id else "the tenant"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> LimitOverride:
        """`add_override` for the tenant that was picked."""
        said = form.cleaned_data
        new = NewOverride(
            limit=said["limit"],
            value=said["value"],
            names=said["names"],
            key_id=said["key_id"],
            valid_from=said["valid_from"],
            reason=said["reason"],
        )
        return add_override(new, by=self._visitor(request).actor, now=now)
