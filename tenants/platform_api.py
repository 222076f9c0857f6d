"""The operator's endpoints, `/v1/platform/…`: tenants come, are found, suspended, resumed. Platform keys only."""

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from . import provisioning
from .api_view import PlatformAPIView
from .audit import Actor
from .authentication import forget_verified_keys
from .errors import NotFound
from .ids import parse_public_id, public_id
from .models import PlatformKey, Tenant
from .pagination import list_of, page

PREFIX = "tenant_"


class TenantRequest(serializers.Serializer):
    """The tenant to be."""

    external_id = serializers.CharField(
        max_length=200, help_text="The operator's own id; asking again changes nothing."
    )
    slug = serializers.SlugField(max_length=50)
    name = serializers.CharField(max_length=200)
    plan = serializers.CharField(required=False, allow_null=True, max_length=50)
    grants = serializers.ListField(
        child=serializers.CharField(max_length=200), default=list, help_text="Models beside the built-in ones."
    )
    currency = serializers.CharField(default="USD", max_length=3)
    content_retention_days = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=36_500, help_text="As the plan says where missing."
    )


class TenantObject(serializers.Serializer):
    """A tenant."""

    id = serializers.CharField()
    object = serializers.CharField()
    external_id = serializers.CharField(allow_null=True)
    slug = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    currency = serializers.CharField()
    content_retention_days = serializers.IntegerField()
    created_at = serializers.IntegerField()


class NewTenantObject(TenantObject):
    """A tenant and, once, its first key."""

    api_key = serializers.CharField(allow_null=True, help_text="Null where the tenant stood already.")


class TenantsView(PlatformAPIView):
    """`/v1/platform/tenants`."""

    @extend_schema(operation_id="list_tenants", responses=list_of(TenantObject))
    def get(self, request: Request) -> Response:
        """All tenants, newest first."""
        return Response(page(Tenant.objects.all(), request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="create_tenant", request=TenantRequest, responses={201: NewTenantObject})
    def post(self, request: Request) -> Response:
        """Create a tenant with its first key, once for each external id; a tenant that stands already answers 200."""
        asked = TenantRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = dict(asked.validated_data)
        options = {"plan": given.pop("plan", None), "grants": given.pop("grants")}
        retention = given.pop("content_retention_days", None)
        made = provisioning.provision(**given, retention_days=retention, options=options, by=_actor(request))
        code = status.HTTP_200_OK if made.key is None else status.HTTP_201_CREATED
        return Response({**_shape(made.tenant), "api_key": made.key}, status=code)


class TenantView(PlatformAPIView):
    """`/v1/platform/tenants/{id}`."""

    @extend_schema(operation_id="get_tenant", responses=TenantObject)
    def get(self, request: Request, tenant_id: str) -> Response:
        """One tenant."""
        return Response(_shape(provisioning.find_tenant(_parsed(tenant_id))))


class SuspendView(PlatformAPIView):
    """`/v1/platform/tenants/{id}/suspend`."""

    @extend_schema(operation_id="suspend_tenant", request=None, responses=TenantObject)
    def post(self, request: Request, tenant_id: str) -> Response:
        """Take a tenant out of service."""
        tenant = provisioning.suspend(tenant_id=_parsed(tenant_id), by=_actor(request))
        # Other processes follow within API_KEY_CACHE_SECONDS; this one at once.
        forget_verified_keys()
        return Response(_shape(tenant))


class ResumeView(PlatformAPIView):
    """`/v1/platform/tenants/{id}/resume`."""

    @extend_schema(operation_id="resume_tenant", request=None, responses=TenantObject)
    def post(self, request: Request, tenant_id: str) -> Response:
        """Put a tenant back into service."""
        return Response(_shape(provisioning.resume(tenant_id=_parsed(tenant_id), by=_actor(request))))


def _actor(request: Request) -> Actor:
    return Actor("platform_key", str(cast(PlatformKey, request.user).pk))


def _parsed(text: str) -> UUID:
    tenant_id = parse_public_id(PREFIX, text)
    if tenant_id is None:
        raise NotFound("No such tenant.")
    return tenant_id


def _shape(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": public_id(PREFIX, tenant.id),
        "object": "tenant",
        "external_id": tenant.external_id,
        "slug": tenant.slug,
        "name": tenant.name,
        "status": tenant.status,
        "currency": tenant.currency,
        "content_retention_days": tenant.content_retention_days,
        "created_at": int(tenant.created_at.timestamp()),
    }
