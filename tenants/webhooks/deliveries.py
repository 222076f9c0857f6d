"""What was sent and what became of it: sending anew, and trying an endpoint out."""

from datetime import datetime
from uuid import UUID

from .. import work
from ..audit import Actor, record
from ..errors import AtriumError, InvalidRequest, NotFound
from ..ids import uuid7
from ..models import Work
from ..scope import tenant_scope
from .delivering import SAMPLE, State
from .endpoints import get_endpoint
from .event_types import EVENT_TYPES, TEST
from .models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from .outbox import send_event
from .sending import Answer, post

PREFIX = "wd_"


class EndpointDisabled(AtriumError):
    """Nothing is sent to a disabled endpoint."""

    status = 409
    type = "invalid_request_error"
    code = "webhook_endpoint_disabled"


class EndpointUnreachable(AtriumError):
    """The test could not be sent: nobody answered, or the address is none to send to."""

    status = 400
    type = "invalid_request_error"
    code = "webhook_endpoint_unreachable"


def resend(*, delivery_id: UUID | None, by: Actor, now: datetime) -> WebhookDelivery:
    """Send a delivery anew, whatever became of it, with the same `webhook-id`; one that waits is tried at once.

    Raises:
        NotFound: no such delivery in this tenant.
        EndpointDisabled: its endpoint is.
    """
    with tenant_scope() as tenant_id:
        rows = WebhookDelivery.objects.select_related("endpoint", "event")
        row = rows.select_for_update(of=("self",)).filter(id=delivery_id).first() if delivery_id else None
        if row is None:
            raise NotFound("No such webhook delivery.")
        if row.endpoint.disabled_at is not None:
            raise EndpointDisabled("The endpoint is disabled. Enable it first.")
        if row.state == State.PENDING:
            work.hasten(tenant_id, row.id)
        else:
            row.state, row.attempts, row.ended_at = State.PENDING, 0, None
            work.enqueue(tenant_id, row.id, work.WEBHOOKS)
        row.next_attempt_at = now
        row.save(update_fields=["state", "attempts", "ended_at", "next_attempt_at"])
        record(by=by, action="webhook_delivery.resent", target=row, changes={"type": row.event.type})
    return row


def test_endpoint(
    *, endpoint_id: UUID | None, event_type: str = TEST, by: Actor, now: datetime
) -> tuple[WebhookDelivery, Answer]:
    """Send a sample of `event_type` now, once, whatever the endpoint wants; it stands among the deliveries too.

    Raises:
        NotFound: no such endpoint in this tenant.
        InvalidRequest: no such type of event.
        EndpointUnreachable: nothing answered; an answer of any status is returned.
    """
    if event_type not in EVENT_TYPES:
        raise InvalidRequest(f"Invalid 'event_type': there is no '{event_type}'.", param="event_type")
    endpoint, event, delivery = _sample(endpoint_id, event_type, by)
    answer = post(endpoint, event, now=now)
    with tenant_scope():
        entry = {"at": int(now.timestamp()), "status": answer.status, "error": answer.error, "took_ms": answer.took_ms}
        delivery.log, delivery.ended_at = [entry], now
        delivery.state = State.DELIVERED if answer.taken else State.FAILED
        delivery.save(update_fields=["log", "ended_at", "state"])
    if answer.status is None:
        raise EndpointUnreachable(answer.error)
    return delivery, answer


def queue_test(*, endpoint_id: UUID | None, event_type: str = TEST, by: Actor) -> WebhookDelivery:
    """As `test_endpoint`, but a worker sends it, once, whatever comes of it: for callers who hold a transaction.

    Raises:
        NotFound: no such endpoint in this tenant.
        InvalidRequest: no such type of event.
        EndpointDisabled: it is.
    """
    if event_type not in EVENT_TYPES:
        raise InvalidRequest(f"Invalid 'event_type': there is no '{event_type}'.", param="event_type")
    with tenant_scope():
        if get_endpoint(endpoint_id=endpoint_id).disabled_at is not None:
            raise EndpointDisabled("The endpoint is disabled. Enable it first.")
        return _recorded(endpoint_id, event_type, by)[1]


def _sample(
    endpoint_id: UUID | None, event_type: str, by: Actor
) -> tuple[WebhookEndpoint, WebhookEvent, WebhookDelivery]:
    """The rows of a test. They are written before it is sent, as failed: no worker is to try it again."""
    with tenant_scope():
        endpoint, delivery = _recorded(endpoint_id, event_type, by)
        Work.objects.filter(id=delivery.id).delete()
        delivery.state, delivery.attempts, delivery.next_attempt_at = State.FAILED, 1, None
        delivery.save(update_fields=["state", "attempts", "next_attempt_at"])
    return endpoint, delivery.event, delivery


def _recorded(endpoint_id: UUID | None, event_type: str, by: Actor) -> tuple[WebhookEndpoint, WebhookDelivery]:
    """The rows of a test, on their way; call it inside the scope."""
    endpoint = get_endpoint(endpoint_id=endpoint_id)
    event_id, data = uuid7(), {"id": SAMPLE, "test": True}
    send_event(type=event_type, data=data, object_id=SAMPLE, endpoint_id=endpoint.id, event_id=event_id)
    record(by=by, action="webhook_endpoint.tested", target=endpoint, changes={"type": event_type})
    return endpoint, WebhookDelivery.objects.select_related("event").get(event_id=event_id)
