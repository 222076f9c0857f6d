"""Admin pages of webhooks: endpoints, and what became of what was sent to them."""

import json
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from ..desk.base import TenantAdmin, TenantForm
from ..desk.filters import WhenFilter, one_of
from ..desk.long_lists import LongListAdmin
from ..desk.shown_once import ISSUED, shown_once
from ..scope import acting_for
from ..webhooks import deliveries, endpoints
from ..webhooks.event_types import EVENT_TYPES, EVERYTHING
from ..webhooks.models import WebhookDelivery, WebhookEndpoint
from .webhook_pages import url_of_delivery, url_of_endpoint

_CHOICES = [(EVERYTHING, "Everything"), *((name, f"{name}: {told}") for name, told in EVENT_TYPES.items())]


class EventTypesField(forms.MultipleChoiceField):
    """The types that an endpoint wants."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=_CHOICES, widget=UnfoldAdminCheckboxSelectMultipleWidget, **kwargs)


class EndpointForm(forms.ModelForm):
    """An endpoint that is changed."""

    event_types = EventTypesField()


class EndpointAddForm(TenantForm):
    """A new endpoint."""

    event_types = EventTypesField()


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(TenantAdmin):
    """Endpoints: their secret is on the page that makes or rotates it, and nowhere else."""

    icon, label, area = "webhook", "Webhooks", "webhooks"
    empty_text = "No webhook yet. Add the address of a server that is to hear when something happens."
    offers = frozenset({"add", "change", "delete"})
    list_display = ("shown_name", "url", "state", "shown_types", "created_at")
    list_display_links = None
    search_fields = ("name", "url")
    ordering = ("-created_at",)
    actions = ("test", "rotate", "enable", "disable")
    form, add_form = EndpointForm, EndpointAddForm
    add_fields = ("name", "url", "event_types")
    fields = ("name", "url", "event_types", "state", "disabled_reason", "failing_since", "created_at", "updated_at")
    readonly_fields = ("state", "disabled_reason", "failing_since", "created_at", "updated_at")

    @display(description="Name", ordering="name")
    def shown_name(self, row: WebhookEndpoint) -> SafeString:
        return format_html('<a href="{}">{}</a>', url_of_endpoint(row.id), row.name)

    @display(description="Types of events")
    def shown_types(self, row: WebhookEndpoint) -> str:
        return ", ".join(row.event_types)

    @display(description="State", label={"enabled": "success", "failing": "warning", "disabled": "danger"})
    def state(self, row: WebhookEndpoint) -> str:
        if row.disabled_at:
            return "disabled"
        return "failing" if row.failing_since else "enabled"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> WebhookEndpoint:
        """`endpoints.create_endpoint`; the secret stays on this request until its answer is made."""
        values = {name: form.cleaned_data[name] for name in self.add_fields}
        row, secret = endpoints.create_endpoint(by=self._visitor(request).actor, now=now, **values)
        ISSUED.put(request, secret)
        return row

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the secret."""
        return shown_once(self, request, obj, "The endpoint's signing secret")

    def change_row(self, request: HttpRequest, row: WebhookEndpoint, form: Any) -> WebhookEndpoint:
        """`endpoints.update_endpoint`."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        by, now = self._visitor(request).actor, datetime.now(UTC)
        return endpoints.update_endpoint(endpoint_id=row.id, changes=changes, by=by, now=now)

    def delete_row(self, request: HttpRequest, row: WebhookEndpoint) -> None:
        """`endpoints.delete_endpoint`."""
        endpoints.delete_endpoint(endpoint_id=row.id, by=self._visitor(request).actor)

    def has_work_permission(self, request: HttpRequest) -> bool:
        """For the actions."""
        return self.may(request, "change")

    @admin.action(description="Send a test", permissions=["work"])
    def test(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """`deliveries.queue_test` each."""
        for row in list(queryset):
            with acting_for(row.tenant_id):
                deliveries.queue_test(endpoint_id=row.id, by=self._visitor(request).actor)
        self.message_user(request, "Tests are on their way. What came of them appears among the deliveries.")

    @admin.action(description="Rotate the secret; the old one goes on for 24 hours", permissions=["work"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        """`endpoints.rotate_secret` of one, and the page that shows the new secret."""
        rows = list(queryset)
        if len(rows) != 1:
            self.message_user(request, "Choose one endpoint: its new secret is shown once.", messages.ERROR)
            return None
        with acting_for(rows[0].tenant_id):
            row, secret = endpoints.rotate_secret(
                endpoint_id=rows[0].id,
                overlap=endpoints.OVERLAP,
                by=self._visitor(request).actor,
                now=datetime.now(UTC),
            )
        ISSUED.put(request, secret)
        return shown_once(self, request, row, "The endpoint's new signing secret")

    @admin.action(description="Enable", permissions=["work"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """`endpoints.update_endpoint` each."""
        self._set_enabled(request, queryset, True)

    @admin.action(description="Disable", permissions=["work"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """`endpoints.update_endpoint` each."""
        self._set_enabled(request, queryset, False)

    def _set_enabled(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint], enabled: bool) -> None:
        by, now = self._visitor(request).actor, datetime.now(UTC)
        for row in list(queryset):
            with acting_for(row.tenant_id):
                endpoints.update_endpoint(endpoint_id=row.id, changes={"enabled": enabled}, by=by, now=now)
        self.message_user(request, "Enabled." if enabled else "Disabled.")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LongListAdmin):
    """What was sent, is on its way or failed; it can be sent anew."""

    icon, label, area = "outbox", "Webhook deliveries", "webhooks"
    list_display = ("shown_at", "event", "endpoint", "shown_state", "attempts", "last_answer", "next_attempt_at")
    list_display_links = None
    list_select_related = ("event", "endpoint")
    list_filter = (one_of("state", WebhookDelivery.State.choices, "state"), WhenFilter)
    found_by = ("id", "event_id", "endpoint_id")
    search_help_text = "The id of a delivery, an event or an endpoint"
    empty_text = "Nothing has been sent yet. Add an endpoint under Webhooks, then send it a test."
    actions = ("resend",)
    fields = (
        "event", "endpoint", "shown_state", "attempts", "next_attempt_at", "ended_at", "created_at", "shown_log", "body",
    )  # fmt: skip
    readonly_fields = fields

    @display(description="Made at (UTC)", ordering="id")
    def shown_at(self, row: WebhookDelivery) -> SafeString:
        return format_html('<a href="{}">{}</a>', url_of_delivery(row.id), f"{row.created_at:%-d %b %Y, %H:%M:%S}")

    @display(description="State", label={"delivered": "success", "pending": "info", "failed": "danger"})
    def shown_state(self, row: WebhookDelivery) -> str:
        return row.state

    @display(description="Last answer")
    def last_answer(self, row: WebhookDelivery) -> str:
        return (row.log[-1]["error"] or f"Status {row.log[-1]['status']}") if row.log else ""

    @display(description="Attempts")
    def shown_log(self, row: WebhookDelivery) -> str:
        lines = (
            f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%d %H:%M:%S} UTC, {entry['took_ms']} ms: "
            f"{entry['error'] or 'taken, status ' + str(entry['status'])}"
            for entry in row.log
        )
        return format_html("<pre>{}</pre>", "\n".join(lines))

    @display(description="Body")
    def body(self, row: WebhookDelivery) -> str:
        return format_html("<pre>{}</pre>", json.dumps(json.loads(row.event.body), indent=2, ensure_ascii=False))

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """For the action."""
        return self.may(request, "change")

    @admin.action(description="Send anew", permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        """`deliveries.resend` each."""
        by, now, rows = self._visitor(request).actor, datetime.now(UTC), list(queryset)
        for row in rows:
            with acting_for(row.tenant_id):
                deliveries.resend(delivery_id=row.id, by=by, now=now)
        self.message_user(request, f"{len(rows)} will be sent anew.")
