"""What usage above holds cost the platform."""

from django.contrib import admin
from unfold.decorators import display

from tenants.desk.base import AtriumAdmin

from ..models import VarianceAccount, VarianceAlert
from .columns import amount_column


class VarianceAdmin(AtriumAdmin):
    """What usage above holds cost the platform; written by settlements alone."""

    list_filter = ("currency",)
    search_fields = ("model", "=pseudonym")
    search_help_text = "A model, or a tenant's id."

    shown_amount = amount_column("amount", "Cost above the holds")

    @display(description="Tenant's id")
    def shown_pseudonym(self, row: VarianceAccount | VarianceAlert) -> str:
        return str(row.pseudonym)


@admin.register(VarianceAccount)
class VarianceAccountAdmin(VarianceAdmin):
    """By day: with the provider's bill beside it, this says what was never worth its hold."""

    icon, label = "balance", "Variance account"
    list_display = ("day", "model", "shown_pseudonym", "shown_amount", "calls")
    ordering = ("-day", "model", "pseudonym")
    fields = readonly_fields = ("day", "model", "shown_pseudonym", "shown_amount", "calls")


@admin.register(VarianceAlert)
class VarianceAlertAdmin(VarianceAdmin):
    """By hour: upstreams that reported more than they were asked for."""

    icon, label = "notification_important", "Variance alerts"
    list_display = ("hour", "model", "shown_pseudonym", "shown_amount", "calls", "raised_at")
    ordering = ("-hour", "model", "pseudonym")
    fields = readonly_fields = ("hour", "model", "shown_pseudonym", "shown_amount", "calls", "raised_at")
