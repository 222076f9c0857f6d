"""The catalogue of models, for platform staff."""

from django.contrib import admin

from tenants.desk.base import AtriumAdmin

from ..models import Model


@admin.register(Model)
class ModelAdmin(AtriumAdmin):
    """The catalogue of models."""

    icon = "deployed_code"
    offers = frozenset({"add", "change"})
    list_display = ("name", "kind", "context_window", "max_output_tokens", "strategy", "capabilities", "owned_by")
    list_filter = ("kind",)
    search_fields = ("name",)
    ordering = ("name",)
