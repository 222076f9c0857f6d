"""`/v1/deployments`: a tenant's own provider accounts. Credentials are written and never read back."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import PermissionDenied
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import own_deployments
from .catalogue import forget_terms
from .models import DeploymentBase, TenantDeployment
from .own_deployments import PREFIX, PROVIDERS

READ, WRITE = "models.read", "models.write"


class DeploymentObject(serializers.Serializer):
    """A tenant's own deployment, without its credentials."""

    id = serializers.CharField()
    object = serializers.ChoiceField(["deployment"])
    name = serializers.CharField()
    model = serializers.CharField(help_text="The model of the catalogue that it serves.")
    provider = serializers.CharField()
    base_url = serializers.CharField()
    upstream_model = serializers.CharField()
    region = serializers.CharField()
    weight = serializers.IntegerField()
    max_concurrent = serializers.IntegerField(allow_null=True)
    health_check = serializers.BooleanField()
    enabled = serializers.BooleanField()
    credentials = serializers.ListField(child=serializers.CharField(), help_text="Which are stored.")
    created_at = serializers.IntegerField()


class DeploymentDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class DeploymentFields(serializers.Serializer):
    """What may be set, and changed."""

    name = serializers.CharField(max_length=100)
    provider = serializers.ChoiceField([str(provider) for provider in PROVIDERS])
    base_url = serializers.CharField(
        max_length=500,
        allow_blank=True,
        required=False,
        help_text="https, at a public address, with /v1 where the server has it.",
    )
    upstream_model = serializers.CharField(max_length=2048, allow_blank=True, required=False)
    region = serializers.CharField(max_length=32, allow_blank=True, required=False, help_text="Of Amazon Bedrock.")
    api_key = serializers.CharField(max_length=4096, allow_blank=True, required=False, write_only=True)
    access_key_id = serializers.CharField(max_length=256, allow_blank=True, required=False, write_only=True)
    secret_access_key = serializers.CharField(max_length=256, allow_blank=True, required=False, write_only=True)
    session_token = serializers.CharField(max_length=4096, allow_blank=True, required=False, write_only=True)
    weight = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    max_concurrent = serializers.IntegerField(min_value=1, max_value=1_000_000, allow_null=True, required=False)
    health_check = serializers.BooleanField(required=False)
    enabled = serializers.BooleanField(required=False)


class DeploymentsView(TenantAPIView):
    """`/v1/deployments`."""

    scopes = {"GET": READ, "POST": WRITE}

    class Create(DeploymentFields):
        """A new deployment."""

        model = serializers.CharField(max_length=200, help_text="A chat model that your tenant was granted.")

    @extend_schema(operation_id="list_deployments", tags=["models"], responses=list_of(DeploymentObject))
    def get(self, request: Request) -> Response:
        """Your tenant's own deployments, newest first."""
        with tenant_scope():
            rows = TenantDeployment.objects.select_related("model")
            return Response(page(rows, request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="create_deployment", tags=["models"], request=Create, responses={201: DeploymentObject})
    @idempotent()
    def post(self, request: Request) -> Response:
        """Serve a model by an account of your own; from now on the platform's does not serve it for you."""
        refuse_limited(request)
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        row = own_deployments.create_deployment(model=given.pop("model"), given=given, by=caller_of(request).actor)
        forget_terms()
        return Response(_shape(row), status=status.HTTP_201_CREATED)


class DeploymentView(TenantAPIView):
    """`/v1/deployments/{id}`."""

    scopes = {"GET": READ, "POST": WRITE, "DELETE": WRITE}

    @extend_schema(operation_id="get_deployment", tags=["models"], responses=DeploymentObject)
    def get(self, request: Request, deployment_id: str) -> Response:
        """One of your tenant's own deployments."""
        with tenant_scope():
            return Response(_shape(own_deployments.find_deployment(parse_public_id(PREFIX, deployment_id))))

    @extend_schema(
        operation_id="change_deployment", tags=["models"], request=DeploymentFields, responses=DeploymentObject
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        """Change what the body names. A new address or provider needs its credentials again."""
        refuse_limited(request)
        body = DeploymentFields(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        row = own_deployments.change_deployment(
            deployment_id=parse_public_id(PREFIX, deployment_id),
            changed=body.validated_data,
            by=caller_of(request).actor,
        )
        forget_terms()
        return Response(_shape(row))

    @extend_schema(operation_id="delete_deployment", tags=["models"], responses=DeploymentDeleted)
    def delete(self, request: Request, deployment_id: str) -> Response:
        """Take a deployment away, with its credentials; the model is the platform's to serve again."""
        refuse_limited(request)
        own_deployments.delete_deployment(
            deployment_id=parse_public_id(PREFIX, deployment_id), by=caller_of(request).actor
        )
        forget_terms()
        return Response({"id": deployment_id, "object": "deployment.deleted", "deleted": True})


def refuse_limited(request: Request) -> None:
    """An end user's request does not change what the tenant's models are."""
    if caller_of(request).limited:
        raise PermissionDenied("A caller limited to groups may not change models. Leave the end-user token out.")


def _shape(row: TenantDeployment) -> dict[str, Any]:
    plain = ("name", "provider", "base_url", "upstream_model", "region", "weight", "max_concurrent", "health_check")
    return {
        "id": public_id(PREFIX, row.id),
        "object": "deployment",
        "model": row.model.name,
        **{name: getattr(row, name) for name in plain},
        "enabled": row.enabled,
        "credentials": [name for name in DeploymentBase.CREDENTIALS if getattr(row, name)],
        "created_at": int(row.created_at.timestamp()),
    }
