"""The audit log."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display
from unfold.views import ChangeList

from ..audit_trail import describe, name_actors
from ..desk.base import TenantAdmin
from ..models import AuditEvent


class AuditChangeList(ChangeList):
    """A page of events, with the people behind them looked up at once."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Django's, each with its `actor_name`."""
        super().get_results(request)
        self.result_list = name_actors(self.result_list)


@admin.register(AuditEvent)
class AuditEventAdmin(TenantAdmin):
    """Who changed what. Append-only, so there is nothing but to read."""

    icon, label, area = "history", "Audit log", "audit"
    list_display = ("created_at", "actor", "action", "target", "shown_changes")
    list_filter = ("actor_type",)
    search_fields = ("action", "object_id", "actor_id")
    search_help_text = "An action such as api_key.issued, or the id of an object or actor."
    ordering = ("-created_at",)
    fields = ("created_at", "actor", "action", "target", "object_id", "shown_changes")
    readonly_fields = fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With the actors' names."""
        return AuditChangeList

    @display(description="Who")
    def actor(self, row: AuditEvent) -> str:
        return getattr(row, "actor_name", None) or name_actors([row])[0].actor_name  # type: ignore[attr-defined]

    @display(description="On")
    def target(self, row: AuditEvent) -> str:
        return row.object_type.rpartition(".")[2]

    @display(description="Changes")
    def shown_changes(self, row: AuditEvent) -> str:
        return describe(row)
