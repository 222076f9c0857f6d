"""What webhooks sent, over REST: deliveries, sending anew, and trying an endpoint out."""

from datetime import UTC, datetime
from typing import Any

import orjson
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ..api_view import TenantAPIView
from ..authentication import caller_of
from ..errors import InvalidRequest, NotFound
from ..ids import parse_public_id, public_id
from ..pagination import list_of, page
from ..scope import tenant_scope
from ..throttling import WebhookTestThrottle
from . import deliveries, endpoints
from .endpoints_api import READ, WRITE, seconds
from .event_types import EVENT_TYPES, TEST
from .models import WebhookDelivery
from .outbox import EVENT_PREFIX


class WebhookTestObject(serializers.Serializer):
    """What an endpoint answered to a test."""

    object = serializers.CharField()
    webhook_endpoint_id = serializers.CharField()
    event_type = serializers.CharField()
    success = serializers.BooleanField(help_text="Something answered; `status_code` says what.")
    status_code = serializers.IntegerField()
    delivery_id = serializers.CharField()


class DeliveryAttempt(serializers.Serializer):
    """One attempt; `status` is null where nothing answered."""

    at = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    took_ms = serializers.IntegerField()


class WebhookDeliveryObject(serializers.Serializer):
    """One event on its way to one endpoint. `state`: pending, delivered or failed."""

    id = serializers.CharField()
    object = serializers.CharField()
    webhook_endpoint_id = serializers.CharField()
    event_id = serializers.CharField()
    event_type = serializers.CharField()
    state = serializers.CharField()
    attempts = DeliveryAttempt(many=True)
    next_attempt_at = serializers.IntegerField(allow_null=True)
    ended_at = serializers.IntegerField(allow_null=True)
    created_at = serializers.IntegerField()
    event = serializers.JSONField(help_text="The body that is sent.")


class TestView(TenantAPIView):
    """`/v1/webhook_endpoints/{id}/test`."""

    scopes = {"POST": WRITE}
    throttle_classes = [WebhookTestThrottle]

    class Test(serializers.Serializer):
        """What is to be sent."""

        event_type = serializers.CharField(max_length=64, default=TEST)

    @extend_schema(operation_id="test_webhook_endpoint", request=Test, responses=WebhookTestObject)
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send a sample of an event, once, and say what the endpoint answered."""
        body = self.Test(data=request.data)
        body.is_valid(raise_exception=True)
        event_type = body.validated_data["event_type"]
        delivery, answer = deliveries.test_endpoint(
            endpoint_id=parse_public_id(endpoints.PREFIX, endpoint_id),
            event_type=event_type,
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        return Response(
            {
                "object": "webhook_endpoint.test",
                "webhook_endpoint_id": endpoint_id,
                "event_type": event_type,
                "success": True,
                "status_code": answer.status,
                "delivery_id": public_id(deliveries.PREFIX, delivery.id),
            }
        )


class DeliveriesView(TenantAPIView):
    """`/v1/webhook_deliveries`."""

    scopes = {"GET": READ}

    @extend_schema(
        operation_id="list_webhook_deliveries",
        parameters=[
            OpenApiParameter(name, OpenApiTypes.STR) for name in ("webhook_endpoint_id", "state", "event_type")
        ],
        responses=list_of(WebhookDeliveryObject),
    )
    def get(self, request: Request) -> Response:
        """What was sent, is on its way or failed, newest first; kept for thirty days."""
        with tenant_scope():
            rows = WebhookDelivery.objects.select_related("event").filter(**_filters(request))
            return Response(page(rows, request, prefix=deliveries.PREFIX, shape=_delivery_shape))


class DeliveryView(TenantAPIView):
    """`/v1/webhook_deliveries/{id}`."""

    scopes = {"GET": READ}

    @extend_schema(operation_id="get_webhook_delivery", responses=WebhookDeliveryObject)
    def get(self, request: Request, delivery_id: str) -> Response:
        """One delivery."""
        ident = parse_public_id(deliveries.PREFIX, delivery_id)
        with tenant_scope():
            row = WebhookDelivery.objects.select_related("event").filter(id=ident).first() if ident else None
        if row is None:
            raise NotFound("No such webhook delivery.")
        return Response(_delivery_shape(row))


class ResendView(TenantAPIView):
    """`/v1/webhook_deliveries/{id}/resend`."""

    scopes = {"POST": WRITE}

    @extend_schema(operation_id="resend_webhook_delivery", request=None, responses=WebhookDeliveryObject)
    def post(self, request: Request, delivery_id: str) -> Response:
        """Send it anew, with the same `webhook-id`."""
        ident = parse_public_id(deliveries.PREFIX, delivery_id)
        row = deliveries.resend(delivery_id=ident, by=caller_of(request).actor, now=datetime.now(UTC))
        return Response(_delivery_shape(row))


def _filters(request: Request) -> dict[str, Any]:
    query = request.query_params
    found: dict[str, Any] = {}
    if "webhook_endpoint_id" in query:
        ident = parse_public_id(endpoints.PREFIX, query["webhook_endpoint_id"])
        found["endpoint_id"] = endpoints.get_endpoint(endpoint_id=ident).id
    if "state" in query:
        if query["state"] not in WebhookDelivery.State.values:
            raise InvalidRequest("Invalid 'state': must be pending, delivered or failed.", param="state")
        found["state"] = query["state"]
    if "event_type" in query:
        if query["event_type"] not in EVENT_TYPES:
            raise InvalidRequest("Invalid 'event_type': there is no such type.", param="event_type")
        found["event__type"] = query["event_type"]
    return found


def _delivery_shape(row: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": public_id(deliveries.PREFIX, row.id),
        "object": "webhook_delivery",
        "webhook_endpoint_id": public_id(endpoints.PREFIX, row.endpoint_id),
        "event_id": public_id(EVENT_PREFIX, row.event_id),
        "event_type": row.event.type,
        "state": row.state,
        "attempts": row.log,
        "next_attempt_at": seconds(row.next_attempt_at),
        "ended_at": seconds(row.ended_at),
        "created_at": seconds(row.created_at),
        "event": orjson.loads(row.event.body),
    }
