"""Plans and who is on them."""

from django import forms
from django.contrib import admin

from tenants.desk.base import AtriumAdmin, TenantAdmin

from ..models import Plan, Price, Subscription


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


class PlanForm(forms.ModelForm):
    """Names no model that nobody could call."""

    def clean_allowed_models(self) -> list[str]:
        """A model that is offered has a price. Names that the plan has already may stay."""
        names: list[str] = self.cleaned_data["allowed_models"]
        unknown = set(names) - set(self.instance.allowed_models)
        unknown -= set(Price.objects.filter(model__in=unknown).values_list("model", flat=True))
        if unknown:
            raise forms.ValidationError(f"No model of this name is offered: {', '.join(sorted(unknown))}.")
        return names


@admin.register(Plan)
class PlanAdmin(AtriumAdmin):
    """What customers buy."""

    icon = "sell"
    form = PlanForm
    offers = frozenset({"add", "change"})
    list_display = ("name", "slug", "requests_per_minute", "tokens_per_minute", "concurrent_calls", "weight")
    search_fields = ("name", "slug")
    ordering = ("slug",)
