"""Admin pages of safety: the policies, version by version, and what the screens found. Neither shows what was read."""

import json

from django.contrib import admin
from unfold.decorators import display

from tenants.desk.base import TenantAdmin
from tenants.desk.filters import WhenFilter, exactly, one_of
from tenants.desk.long_lists import LongListAdmin

from ..models import SafetyPolicy, Screening
from ..safety.policy import SafetySettings
from .links import request_link


@admin.register(SafetyPolicy)
class SafetyPolicyAdmin(TenantAdmin):
    """What is screened, and how that changed. A change is a new version."""

    icon, label, area = "history", "Safety policy versions", "safety"
    list_display = ("of_model", "version", "screens", "created_at")
    search_fields = ("=alias",)
    ordering = ("-id",)
    fields = ("of_model", "version", "shown_settings", "created_at")
    readonly_fields = ("of_model", "shown_settings", "created_at")

    @display(description="Model")
    def of_model(self, row: SafetyPolicy) -> str:
        return row.alias or "All models"

    @display(description="Screens")
    def screens(self, row: SafetyPolicy) -> str:
        if row.settings is None:
            return "removed"
        on = SafetySettings.model_validate(row.settings).names()
        return "; ".join(f"{stage}: {', '.join(names)}" for stage, names in on.items() if names) or "none"

    @display(description="Settings")
    def shown_settings(self, row: SafetyPolicy) -> str:
        return json.dumps(row.settings, indent=2, ensure_ascii=False)


@admin.register(Screening)
class ScreeningAdmin(LongListAdmin):
    """What the screens found in calls."""

    icon, label, area = "policy_alert", "Safety findings", "safety"
    list_display = ("screen", "action", "stage", "found", "count", "call", "created_at")
    list_filter = (
        one_of("action", Screening.Action.choices, "action"),
        exactly("screen", "Screen"),
        WhenFilter,
    )  # fmt: skip
    found_by = ("generation_id", "id")
    search_help_text = "The id of a request"
    empty_text = "The safety screens have found nothing so far. Safety policies say what they look for."
    fields = ("screen", "action", "stage", "found", "count", "call", "shown_details", "created_at")
    readonly_fields = ("found", "call", "shown_details", "created_at")

    @display(description="Categories")
    def found(self, row: Screening) -> str:
        return ", ".join(row.categories)

    @display(description="Request")
    def call(self, row: Screening) -> str:
        return request_link(row.generation_id)

    @display(description="Where, without what")
    def shown_details(self, row: Screening) -> str:
        return json.dumps(row.details, indent=2)
