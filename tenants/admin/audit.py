"""The audit log: read, found in, taken along."""

import csv
from datetime import UTC
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from ..audit_trail import before_and_after, describe, name_actors
from ..desk.filters import WhenFilter, as_uuid, exactly, one_of
from ..desk.lists import LongList
from ..desk.long_lists import LongListAdmin
from ..desk.pages import DeskView, desk_page
from ..formulas import neutralised
from ..models import AuditEvent, User

_MOST_EXPORTED = 50_000

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
    search_help_text = "A person's e-mail address, an action such as api_key.issued, or the id of an object or actor"
    list_before_template = "desk/audit_export.html"
    empty_text = "Nothing has been changed yet. Every change that anybody makes appears here."
    fields = ("created_at", "actor", "action", "target", "object_id", "what_changed")
    readonly_fields = fields

    def matching(self, rows: QuerySet, term: str) -> QuerySet:
        """By a person's address, by the whole of an action, or of an id of an event, an object or an actor."""
        if "@" in term:
            people = User.objects.filter(email__iexact=term).values_list("id", flat=True)
            return rows.filter(actor_type="user", actor_id__in=[str(ident) for ident in people])
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
        return row.actor_name or name_actors([row])[0].actor_name

    @display(description="On")
    def target(self, row: AuditEvent) -> str:
        """What it is called elsewhere; kept events may be of what is gone from the code."""
        try:
            return str(apps.get_model(row.object_type)._meta.verbose_name)
        except (LookupError, ValueError):
            return row.object_type.rpartition(".")[2]

    @display(description="Changes")
    def shown_changes(self, row: AuditEvent) -> str:
        return describe(row)

    @display(description="What changed")
    def what_changed(self, row: AuditEvent) -> SafeString | str:
        lines = before_and_after(row)
        if not lines:
            return "Nothing more is on record."
        head = format_html("<thead><tr><th>{}</th><th>{}</th><th>{}</th></tr></thead>", "What", "Before", "After")
        body = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', lines)
        return format_html('<div class="desk"><table class="desk-table">{}<tbody>{}</tbody></table></div>', head, body)


@desk_page
class AuditExport(DeskView):
    """The log as CSV, by the filters of the list that it is asked from; the newest fifty thousand rows."""

    name, path, area = "audit_export", "tenants/auditevent/export/", "audit"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A file."""
        page: Any = admin.site._registry[AuditEvent]
        try:
            rows = page.get_changelist_instance(request).queryset[:_MOST_EXPORTED]
        except IncorrectLookupParameters as error:
            raise Http404 from error
        file = HttpResponse(content_type="text/csv; charset=utf-8")
        file["Content-Disposition"] = 'attachment; filename="audit-log.csv"'
        writer = csv.writer(file)
        writer.writerow(["time (UTC)", "who", "action", "object", "object id", "changes", "id"])
        for row in name_actors(rows):
            moment = row.created_at.astimezone(UTC).isoformat(timespec="seconds")
            told = [row.actor_name, row.action, row.object_type, row.object_id, describe(row)]
            writer.writerow([moment, *map(neutralised, told), str(row.id)])
        return file
