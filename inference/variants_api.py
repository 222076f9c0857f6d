"""`/v1/variants`: a tenant's fine-tunes and the states they go through."""

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

from . import variants
from .catalogue import forget_terms
from .models import Variant
from .own_deployments_api import READ, WRITE, refuse_limited
from .variants import PREFIX


class VariantObject(serializers.Serializer):
    """A variant. An alias points at it by its `model`."""

    id = serializers.CharField()
    object = serializers.ChoiceField(["variant"])
    name = serializers.CharField()
    model = serializers.CharField(help_text="`ft:<base>:<name>`: what prices and reports know it as.")
    base = serializers.CharField()
    adapter = serializers.CharField()
    state = serializers.CharField()
    next_states = serializers.ListField(child=serializers.CharField())
    served_by = serializers.CharField(help_text="`tenant`: your own deployments alone; `platform`.")
    created_at = serializers.IntegerField()


class VariantDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class VariantsView(TenantAPIView):
    """`/v1/variants`."""

    scopes = {"GET": READ, "POST": WRITE}

    class Create(serializers.Serializer):
        """A new variant."""

        name = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)
        base = serializers.CharField(max_length=200, help_text="A model that your tenant was granted.")
        adapter = serializers.CharField(
            max_length=2048,
            allow_blank=True,
            default="",
            help_text="What your deployments of the base know it as: a LoRA's name, or the ARN of a custom model.",
        )

    @extend_schema(operation_id="list_variants", tags=["models"], responses=list_of(VariantObject))
    def get(self, request: Request) -> Response:
        """Your tenant's variants, newest first."""
        with tenant_scope():
            return Response(page(Variant.objects.select_related("base"), request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="create_variant", tags=["models"], request=Create, responses={201: VariantObject})
    @idempotent()
    def post(self, request: Request) -> Response:
        """A variant that your own deployments of its base serve once it is canary or live."""
        refuse_limited(request)
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        row = variants.create_variant(**body.validated_data, by=caller_of(request).actor)
        return Response(_shape(row), status=status.HTTP_201_CREATED)


class VariantView(TenantAPIView):
    """`/v1/variants/{id}`."""

    scopes = {"GET": READ, "POST": WRITE, "DELETE": WRITE}

    class Change(serializers.Serializer):
        """One of the two."""

        state = serializers.ChoiceField([str(state) for state in Variant.State], required=False)
        adapter = serializers.CharField(max_length=2048, required=False)

        def validate(self, data: dict[str, Any]) -> dict[str, Any]:
            """A step at a time, so that each has an audit row of its own."""
            if len(data) != 1:
                raise serializers.ValidationError("Give either 'state' or 'adapter'.")
            return data

    @extend_schema(operation_id="get_variant", tags=["models"], responses=VariantObject)
    def get(self, request: Request, variant_id: str) -> Response:
        """One of your tenant's variants."""
        ident = parse_public_id(PREFIX, variant_id)
        with tenant_scope():
            row = Variant.objects.select_related("base").filter(id=ident).first() if ident else None
        if row is None:
            raise NotFound("No such variant.")
        return Response(_shape(row))

    @extend_schema(operation_id="change_variant", tags=["models"], request=Change, responses=VariantObject)
    def post(self, request: Request, variant_id: str) -> Response:
        """Take a variant to its next state, or name its adapter. Only those that are canary or live are served."""
        refuse_limited(request)
        body = self.Change(data=request.data)
        body.is_valid(raise_exception=True)
        ident, actor = parse_public_id(PREFIX, variant_id), caller_of(request).actor
        given = body.validated_data
        if "state" in given:
            row = variants.move_variant(variant_id=ident, state=given["state"], by=actor)
        else:
            row = variants.set_adapter(variant_id=ident, adapter=given["adapter"], by=actor)
        forget_terms()
        return Response(_shape(row))

    @extend_schema(operation_id="delete_variant", tags=["models"], responses=VariantDeleted)
    def delete(self, request: Request, variant_id: str) -> Response:
        """Forget a variant that no alias points at."""
        refuse_limited(request)
        variants.delete_variant(variant_id=parse_public_id(PREFIX, variant_id), by=caller_of(request).actor)
        return Response({"id": variant_id, "object": "variant.deleted", "deleted": True})


def _shape(row: Variant) -> dict[str, Any]:
    return {
        "id": public_id(PREFIX, row.id),
        "object": "variant",
        "name": row.name,
        "model": row.model_name,
        "base": row.base.name,
        "adapter": row.adapter,
        "state": row.state,
        "next_states": [str(state) for state in variants.FOLLOWS[row.state]],
        "served_by": "tenant" if row.by_tenant else "platform",
        "created_at": int(row.created_at.timestamp()),
    }
