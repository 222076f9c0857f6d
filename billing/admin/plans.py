"""Plans and who is on them."""

from django.contrib import admin

from tenants.desk.base import AtriumAdmin, TenantAdmin

from ..models import Plan, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(TenantAdmin):
    """Which plan a tenant is on; staff change it."""

    icon = "card_membership"
    offers = frozenset({"change"})
    list_display = ("plan", "closing_day")
    list_select_related = ("plan",)
    list_filter = ("plan",)
    fields = ("tenant", "plan", "closing_day")
    readonly_fields = ("tenant",)


@admin.register(Plan)
class PlanAdmin(AtriumAdmin):
    """What customers buy."""

    icon = "sell"
    offers = frozenset({"add", "change"})
    list_display = ("name", "slug", "requests_per_minute", "tokens_per_minute", "concurrent_calls", "weight")
    search_fields = ("name", "slug")
    ordering = ("slug",)
