"""`/v1/grants`: what a tenant may use under which alias; the operator's grants to read, its own aliases to change."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import NotFound
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import aliases
from .aliases import PREFIX, SETTINGS
from .catalogue import forget_terms
from .models import Grant
from .own_deployments_api import READ, WRITE, refuse_limited

_RELATED = ("model", "variant", "canary_model", "canary_variant")


class GrantFields(serializers.Serializer):
    """What an alias says beside its name."""

    target = serializers.CharField(
        max_length=270, help_text="A model that your tenant was granted, or a live variant as `ft:<base>:<name>`."
    )
    canary_target = serializers.CharField(
        max_length=270, allow_null=True, required=False, help_text="A second target; a variant of it may be canary."
    )
    canary_share = serializers.IntegerField(
        min_value=0,
        max_value=100,
        required=False,
        help_text="Percent of the end users that the canary answers, each always the same way.",
    )
    fallbacks = serializers.BooleanField(required=False, help_text="Whether the model's fallbacks may answer instead.")
    max_output_tokens = serializers.IntegerField(min_value=1, max_value=2**31 - 1, allow_null=True, required=False)
    default_max_tokens = serializers.IntegerField(min_value=1, max_value=2**31 - 1, allow_null=True, required=False)
    default_temperature = serializers.FloatField(min_value=0, max_value=2, allow_null=True, required=False)
    default_top_p = serializers.FloatField(min_value=0, max_value=1, allow_null=True, required=False)
    min_temperature = serializers.FloatField(min_value=0, max_value=2, allow_null=True, required=False)
    max_temperature = serializers.FloatField(min_value=0, max_value=2, allow_null=True, required=False)
    allowed_tools = serializers.ListField(
        child=serializers.CharField(max_length=64),
        max_length=128,
        allow_null=True,
        required=False,
        help_text="Names of functions, and `file_search`. Empty: none. Null: all.",
    )


class GrantObject(GrantFields):
    """A grant."""

    id = serializers.CharField()
    object = serializers.ChoiceField(["grant"])
    alias = serializers.CharField(help_text="What to send as `model`.")
    made_by = serializers.ChoiceField(["platform", "tenant"])
    created_at = serializers.IntegerField()


class GrantDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class GrantsView(TenantAPIView):
    """`/v1/grants`."""

    scopes = {"GET": READ, "POST": WRITE}

    class Create(GrantFields):
        """A new alias."""

        alias = serializers.RegexField(r"^[^\s\x00-\x1f]+$", max_length=200)

    @extend_schema(operation_id="list_grants", tags=["models"], responses=list_of(GrantObject))
    def get(self, request: Request) -> Response:
        """Your tenant's grants, newest first: the operator's, and aliases of your own."""
        with tenant_scope():
            return Response(page(Grant.objects.select_related(*_RELATED), request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="create_grant", tags=["models"], request=Create, responses={201: GrantObject})
    @idempotent()
    def post(self, request: Request) -> Response:
        """An alias of your own, within the bounds of the operator's grant of the same model."""
        refuse_limited(request)
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        row = aliases.create_alias(
            alias=given["alias"],
            target=given["target"],
            canary_target=given.get("canary_target"),
            canary_share=given.get("canary_share", 0),
            settings={name: given[name] for name in SETTINGS if name in given},
            by=caller_of(request).actor,
        )
        forget_terms()
        return Response(_shape(row), status=status.HTTP_201_CREATED)


class GrantView(TenantAPIView):
    """`/v1/grants/{id}`."""

    scopes = {"GET": READ, "POST": WRITE, "DELETE": WRITE}

    @extend_schema(operation_id="get_grant", tags=["models"], responses=GrantObject)
    def get(self, request: Request, grant_id: str) -> Response:
        """One of your tenant's grants."""
        ident = parse_public_id(PREFIX, grant_id)
        with tenant_scope():
            row = Grant.objects.select_related(*_RELATED).filter(id=ident).first() if ident else None
        if row is None:
            raise NotFound("No such grant.")
        return Response(_shape(row))

    @extend_schema(operation_id="change_grant", tags=["models"], request=GrantFields, responses=GrantObject)
    def post(self, request: Request, grant_id: str) -> Response:
        """Change what the body names of an alias of your own; calls follow within five seconds."""
        refuse_limited(request)
        body = GrantFields(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        row = aliases.change_alias(
            grant_id=parse_public_id(PREFIX, grant_id), changed=body.validated_data, by=caller_of(request).actor
        )
        forget_terms()
        return Response(_shape(row))

    @extend_schema(operation_id="delete_grant", tags=["models"], responses=GrantDeleted)
    def delete(self, request: Request, grant_id: str) -> Response:
        """Take an alias of your own away."""
        refuse_limited(request)
        aliases.delete_alias(grant_id=parse_public_id(PREFIX, grant_id), by=caller_of(request).actor)
        forget_terms()
        return Response({"id": grant_id, "object": "grant.deleted", "deleted": True})


def _shape(row: Grant) -> dict[str, Any]:
    return {
        "id": public_id(PREFIX, row.id),
        "object": "grant",
        "alias": row.alias,
        "made_by": "tenant" if row.by_tenant else "platform",
        "target": aliases.target_name(row.model, row.variant),
        "canary_target": aliases.canary_name(row),
        "canary_share": row.canary_share,
        **{name: getattr(row, name) for name in SETTINGS},
        "created_at": int(row.created_at.timestamp()),
    }
