"""The audit log."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.views import ChangeList

from ..audit_trail import describe, name_actors
from ..desk.filters import WhenFilter, as_uuid, exactly, one_of
from ..desk.lists import LongList
from ..desk.long_lists import LongListAdmin
from ..models import AuditEvent

_WHO = [
    ("user", "A person"), ("api_key", "An API key"), ("staff", "Platform staff"), ("platform_key", "A platform key"),
    ("command", "The command line"), ("system", "The system"),
]  # fmt: skip


class AuditChangeList(LongList):
    """A page of events, with the people behind them looked up at once."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Django's, each with its `actor_name`."""
        super().get_results(request)
        self.result_list = name_actors(self.result_list)


@admin.register(AuditEvent)
class AuditEventAdmin(LongListAdmin):
    """Who changed what. Append-only, so there is nothing but to read."""

    icon, label, area = "history", "Audit log", "audit"
    list_display = ("created_at", "actor", "action", "target", "shown_changes")
    list_filter = (one_of("actor_type", _WHO, "who"), exactly("action", "Action"), WhenFilter)
    search_help_text = "An action such as api_key.issued, or the id of an object or actor"
    empty_text = "Nothing has been changed yet. Every change that anybody makes appears here."
    fields = ("created_at", "actor", "action", "target", "object_id", "shown_changes")
    readonly_fields = fields

    def matching(self, rows: QuerySet, term: str) -> QuerySet:
        """By the whole of an action, or of an id of an event, an object or an actor."""
        ident = as_uuid(term)
        if ident is None:
            return rows.filter(action=term)
        for match in ({"id": ident}, {"object_id": str(ident)}):
            if rows.filter(**match).exists():
                return rows.filter(**match)
        return rows.filter(actor_id=str(ident))

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
