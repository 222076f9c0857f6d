"""Webhook endpoints over REST, as the `openai` SDK knows them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ..api_view import TenantAPIView
from ..authentication import caller_of
from ..idempotency import idempotent
from ..ids import parse_public_id, public_id
from ..pagination import list_of, page
from ..scope import tenant_scope
from . import endpoints
from .event_types import EVENT_TYPES
from .models import WebhookEndpoint

READ, WRITE = "webhooks.read", "webhooks.write"


class WebhookEndpointObject(serializers.Serializer):
    """An endpoint, without its secret."""

    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()
    event_types = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    disabled_reason = serializers.CharField(allow_null=True)
    failing_since = serializers.IntegerField(allow_null=True)
    signing_secret_hint = serializers.CharField()
    created_at = serializers.IntegerField()
    updated_at = serializers.IntegerField()


class NewWebhookEndpointObject(WebhookEndpointObject):
    """An endpoint with its secret, as it is shown once."""

    signing_secret = serializers.CharField(allow_null=True, help_text="Null where an Idempotency-Key is replayed.")


class WebhookEndpointDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class EventTypeList(serializers.Serializer):
    """The types of events that there are."""

    object = serializers.CharField()
    data = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]


class EndpointsView(TenantAPIView):
    """`/v1/webhook_endpoints`."""

    scopes = {"GET": READ, "POST": WRITE}

    class Create(serializers.Serializer):
        """A new endpoint."""

        name = serializers.CharField(max_length=200)
        url = serializers.CharField(max_length=2048)
        event_types = serializers.ListField(
            child=serializers.CharField(max_length=64), allow_empty=False, max_length=64, help_text="`*`: every type."
        )

    @extend_schema(operation_id="list_webhook_endpoints", responses=list_of(WebhookEndpointObject))
    def get(self, request: Request) -> Response:
        """The tenant's endpoints, newest first."""
        with tenant_scope():
            return Response(page(WebhookEndpoint.objects.all(), request, prefix=endpoints.PREFIX, shape=_shape))

    @extend_schema(operation_id="create_webhook_endpoint", request=Create, responses={200: NewWebhookEndpointObject})
    @idempotent(secret_fields=("signing_secret",))
    def post(self, request: Request) -> Response:
        """Make an endpoint; its signing secret is in this answer and nowhere else."""
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        row, secret = endpoints.create_endpoint(
            **body.validated_data, by=caller_of(request).actor, now=datetime.now(UTC)
        )
        return Response({**_shape(row), "signing_secret": secret})


class EndpointView(TenantAPIView):
    """`/v1/webhook_endpoints/{id}`."""

    scopes = {"GET": READ, "POST": WRITE, "DELETE": WRITE}

    class Update(serializers.Serializer):
        """What is to change."""

        name = serializers.CharField(max_length=200, required=False)
        url = serializers.CharField(max_length=2048, required=False)
        event_types = serializers.ListField(
            child=serializers.CharField(max_length=64), allow_empty=False, max_length=64, required=False
        )
        enabled = serializers.BooleanField(required=False)

    @extend_schema(operation_id="get_webhook_endpoint", responses=WebhookEndpointObject)
    def get(self, request: Request, endpoint_id: str) -> Response:
        """One endpoint."""
        ident = parse_public_id(endpoints.PREFIX, endpoint_id)
        with tenant_scope():
            return Response(_shape(endpoints.get_endpoint(endpoint_id=ident)))

    @extend_schema(operation_id="update_webhook_endpoint", request=Update, responses=WebhookEndpointObject)
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Change an endpoint; what it wanted before and is on its way still comes."""
        body = self.Update(data=request.data)
        body.is_valid(raise_exception=True)
        row = endpoints.update_endpoint(
            endpoint_id=parse_public_id(endpoints.PREFIX, endpoint_id),
            changes=dict(body.validated_data),
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        return Response(_shape(row))

    @extend_schema(operation_id="delete_webhook_endpoint", responses=WebhookEndpointDeleted)
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Remove an endpoint and its deliveries."""
        ident = parse_public_id(endpoints.PREFIX, endpoint_id)
        endpoints.delete_endpoint(endpoint_id=ident, by=caller_of(request).actor)
        return Response({"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True})


class RotationView(TenantAPIView):
    """`/v1/webhook_endpoints/{id}/rotate_secret`."""

    scopes = {"POST": WRITE}

    class Rotate(serializers.Serializer):
        """Whether messages go on carrying a signature by the old secret too."""

        keep_old_secret_active_for_24_hours = serializers.BooleanField(default=False)

    @extend_schema(
        operation_id="rotate_webhook_endpoint_secret", request=Rotate, responses={200: NewWebhookEndpointObject}
    )
    @idempotent(secret_fields=("signing_secret",))
    def post(self, request: Request, endpoint_id: str) -> Response:
        """A new signing secret, in this answer and nowhere else."""
        body = self.Rotate(data=request.data)
        body.is_valid(raise_exception=True)
        keeps = body.validated_data["keep_old_secret_active_for_24_hours"]
        row, secret = endpoints.rotate_secret(
            endpoint_id=parse_public_id(endpoints.PREFIX, endpoint_id),
            overlap=endpoints.OVERLAP if keeps else timedelta(),
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        return Response({**_shape(row), "signing_secret": secret})


class EventTypesView(TenantAPIView):
    """`/v1/webhook_event_types`."""

    scopes = {"GET": READ}

    @extend_schema(operation_id="list_webhook_event_types", responses=EventTypeList)
    def get(self, request: Request) -> Response:
        """Every type of event that an endpoint can want."""
        return Response({"object": "list", "data": list(EVENT_TYPES)})


def _shape(row: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": public_id(endpoints.PREFIX, row.id),
        "object": "webhook_endpoint",
        "name": row.name,
        "url": row.url,
        "event_types": row.event_types,
        "enabled": row.disabled_at is None,
        "disabled_reason": row.disabled_reason or None,
        "failing_since": seconds(row.failing_since),
        "signing_secret_hint": f"whsec_…{row.secret[-4:]}",
        "created_at": seconds(row.created_at),
        "updated_at": seconds(row.updated_at),
    }


def seconds(moment: datetime | None) -> int | None:
    """Unix seconds, as the API says times."""
    return None if moment is None else int(moment.timestamp())
