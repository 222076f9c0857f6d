"""What usage above holds cost the platform."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from tenants.desk.base import AtriumAdmin

from ..models import VarianceAccount, VarianceAlert
from .columns import amount_column
from .tenant_names import tenant_column, with_tenant_names


class VarianceAdmin(AtriumAdmin):
    """What usage above holds cost the platform; written by settlements alone."""

    list_filter = ("currency",)
    list_before_template = "desk/variance_head.html"
    search_fields = ("model", "=pseudonym")
    search_help_text = "A model, or a tenant's id."

    shown_amount = amount_column("amount", "Cost above the holds")

    shown_tenant = tenant_column

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the tenants' names."""
        return with_tenant_names(super().get_queryset(request))


@admin.register(VarianceAccount)
class VarianceAccountAdmin(VarianceAdmin):
    """By day: with the provider's bill beside it, this says what was never worth its hold."""

    icon, label = "balance", "Variance account"
    empty_text = "No call has used more than was set aside for it."
    list_display = ("day", "model", "shown_tenant", "shown_amount", "calls")
    ordering = ("-day", "model", "pseudonym")
    fields = readonly_fields = ("day", "model", "shown_tenant", "shown_amount", "calls")


@admin.register(VarianceAlert)
class VarianceAlertAdmin(VarianceAdmin):
    """By hour: upstreams that reported more than they were asked for."""

    icon, label = "notification_important", "Variance alerts"
    empty_text = "No alert yet."
    list_display = ("hour", "model", "shown_tenant", "shown_amount", "calls", "raised_at")
    ordering = ("-hour", "model", "pseudonym")
    fields = readonly_fields = ("hour", "model", "shown_tenant", "shown_amount", "calls", "raised_at")
