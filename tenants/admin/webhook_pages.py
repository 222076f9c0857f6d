"""Webhooks, page by page: an endpoint with what was sent to it of late, and one delivery with its attempts."""

import json
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from ..desk.base import TenantAdmin
from ..desk.pages import DeskPage, desk_page
from ..desk.shown_once import ISSUED, shown_once
from ..errors import InvalidRequest
from ..ids import public_id
from ..scope import acting_for
from ..webhooks import deliveries, endpoints
from ..webhooks.delivering import MAX_ATTEMPTS, SAMPLE
from ..webhooks.event_types import EVENT_TYPES, TEST
from ..webhooks.models import WebhookDelivery, WebhookEndpoint
from ..webhooks.outbox import EVENT_PREFIX

_OF_LATE = 20
#: How long the old secret may go on: seconds → what the page calls it.
_OVERLAPS = {"86400": "24 hours", "3600": "1 hour", "604800": "7 days", "0": "no time: it stops now"}
_LOOKS = {"delivered": "good", "pending": "warn", "failed": "bad"}


class _WebhookPage(DeskPage, ABC):
    """What both pages share: their row, and one thing to do with it."""

    area = "webhooks"

    @abstractmethod
    def row(self) -> Any:
        """The row that the URL names, of this visitor's tenant."""

    @abstractmethod
    def done(self, row: Any, what: str) -> HttpResponse | None:
        """Do one thing by its domain function; an answer, or None to come back to the page."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Do what the button said, on behalf of the row's tenant."""
        row = self.row()
        with acting_for(row.tenant_id):
            answer = self.done(row, request.POST.get("do", ""))
        return answer or HttpResponseRedirect(request.path)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With what the visitor may do."""
        return {**super().get_context_data(**kwargs), "may_change": self.may(self.visitor, "POST")}


@desk_page
class EndpointPage(_WebhookPage):
    """An endpoint: its state, a test, its secret, what was sent to it of late."""

    name, path = "webhook_endpoint", "webhooks/endpoints/<uuid:endpoint_id>/"
    template_name = "desk/webhook_endpoint.html"

    def row(self) -> WebhookEndpoint:
        """The endpoint; its secrets stay in the database."""
        rows = WebhookEndpoint.objects.defer("secret", "previous_secret").select_related("tenant")
        found = rows.filter(id=self.kwargs["endpoint_id"]).first()
        if found is None:
            raise Http404
        return found

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With its newest deliveries."""
        row, now = self.row(), datetime.now(UTC)
        newest = WebhookDelivery.objects.filter(tenant_id=row.tenant_id, endpoint_id=row.id).select_related("event")
        sent = list(newest.order_by("-id")[:_OF_LATE])
        overlap = row.previous_ends_at if row.previous_ends_at and row.previous_ends_at > now else None
        found = {
            "title": row.name,
            "endpoint": row,
            "public_id": public_id(endpoints.PREFIX, row.id),
            "overlap_until": overlap,
            "sent": [shown_delivery(delivery) for delivery in sent],
            "is_waiting": any(one.state == WebhookDelivery.State.PENDING and not one.log for one in sent),
            "event_types": EVENT_TYPES,
            "test_type": TEST,
            "overlaps": _OVERLAPS,
        }
        return {**super().get_context_data(**kwargs), **found}

    def done(self, row: WebhookEndpoint, what: str) -> HttpResponse | None:
        """Test, rotate, enable or disable."""
        by, now = self.visitor.actor, datetime.now(UTC)
        if what == "test":
            deliveries.queue_test(endpoint_id=row.id, event_type=self.request.POST.get("event_type", TEST), by=by)
            messages.success(self.request, "A test is on its way. What came of it appears among the deliveries.")
            return None
        if what == "rotate":
            return self._rotated(row, now)
        if what in ("enable", "disable"):
            endpoints.update_endpoint(endpoint_id=row.id, changes={"enabled": what == "enable"}, by=by, now=now)
            messages.success(self.request, "Enabled." if what == "enable" else "Disabled. Nothing is sent any more.")
            return None
        raise InvalidRequest("There is no such thing to do.", param="do")

    def _rotated(self, row: WebhookEndpoint, now: datetime) -> HttpResponse:
        chosen = self.request.POST.get("overlap", "")
        if chosen not in _OVERLAPS:
            raise InvalidRequest("Choose for how long the old secret goes on.", param="overlap")
        changed, secret = endpoints.rotate_secret(
            endpoint_id=row.id, overlap=timedelta(seconds=int(chosen)), by=self.visitor.actor, now=now
        )
        ISSUED.put(self.request, secret)
        page: TenantAdmin = admin.site.get_model_admin(WebhookEndpoint)  # type: ignore[assignment]
        return shown_once(page, self.request, changed, "The endpoint's new signing secret")


@desk_page
class DeliveryPage(_WebhookPage):
    """A delivery: what was sent, every attempt and what was answered."""

    name, path = "webhook_delivery", "webhooks/deliveries/<uuid:delivery_id>/"
    template_name = "desk/webhook_delivery.html"

    def row(self) -> WebhookDelivery:
        """The delivery with its event and its endpoint."""
        rows = WebhookDelivery.objects.select_related("event", "endpoint")
        found = rows.defer("endpoint__secret", "endpoint__previous_secret").filter(id=self.kwargs["delivery_id"])
        delivery = found.first()
        if delivery is None:
            raise Http404
        return delivery

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With its attempts and the body."""
        row = self.row()
        body = json.dumps(json.loads(row.event.body), indent=2, ensure_ascii=False)
        found = {
            "title": f"Delivery of {row.event.type}",
            "delivery": row,
            "shown": shown_delivery(row),
            "public_id": public_id(deliveries.PREFIX, row.id),
            "event_id": public_id(EVENT_PREFIX, row.event.id),
            "attempts": [{**entry, "at": datetime.fromtimestamp(entry["at"], UTC)} for entry in reversed(row.log)],
            "most_attempts": MAX_ATTEMPTS,
            "body": body,
        }
        return {**super().get_context_data(**kwargs), **found}

    def done(self, row: WebhookDelivery, what: str) -> HttpResponse | None:
        """Send it anew."""
        if what != "resend":
            raise InvalidRequest("There is no such thing to do.", param="do")
        deliveries.resend(delivery_id=row.id, by=self.visitor.actor, now=datetime.now(UTC))
        messages.success(self.request, "It is being sent again, with the same id.")
        return None


def shown_delivery(row: WebhookDelivery) -> dict[str, Any]:
    """A delivery as a line: its state, its look, what was answered last, its page."""
    last = row.log[-1] if row.log else None
    return {
        "row": row,
        "look": _LOOKS[row.state],
        "state": "waiting" if row.state == WebhookDelivery.State.PENDING else row.state,
        "is_test": row.event.object_id == SAMPLE,
        "answer": "" if last is None else last["error"] or f"Status {last['status']}",
        "took_ms": None if last is None else last["took_ms"],
        "url": url_of_delivery(row.id),
    }


def url_of_delivery(delivery_id: UUID) -> str:
    """The page of a delivery."""
    return reverse("admin:webhook_delivery", args=[delivery_id])


def url_of_endpoint(endpoint_id: UUID) -> str:
    """The page of an endpoint."""
    return reverse("admin:webhook_endpoint", args=[endpoint_id])
