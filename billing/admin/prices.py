"""List prices, plans' and contracted ones."""

from django.contrib import admin

from tenants.admin_base import PLATFORM, AtriumAdmin, TenantAdmin

from ..models import Price, TenantPrice
from .columns import amount_column


@admin.register(Price)
class PriceAdmin(AtriumAdmin):
    """List prices and those of plans. Never changed: a new price is a new row with a later date."""

    icon = "payments"
    offers = frozenset({"add"})
    list_display = ("model", "meter", "shown_amount", "per", "plan", "valid_from")
    list_select_related = ("plan",)
    list_filter = ("meter", "plan")
    search_fields = ("model",)
    ordering = ("model", "meter", "-valid_from")

    shown_amount = amount_column("amount", "Price")


@admin.register(TenantPrice)
class TenantPriceAdmin(TenantAdmin):
    """Contracted prices. Never changed: a new price is a new row with a later date."""

    group, icon = PLATFORM, "request_quote"
    offers = frozenset({"add"})
    list_display = ("model", "meter", "shown_amount", "per", "valid_from")
    search_fields = ("model",)
    ordering = ("model", "meter", "-valid_from")
    add_fields = fields = ("model", "meter", "currency", "amount", "per", "valid_from")

    shown_amount = amount_column("amount", "Price")
