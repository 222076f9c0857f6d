"""Limits over REST: what is in force and used, and dated overrides of a tenant's or a key's.

A tenant reads its limits and sets those of its keys, which are never wider than its own; the platform sets the tenant's.
"""

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import PlatformAPIView, TenantAPIView
from tenants.audit import Actor
from tenants.authentication import caller_of
from tenants.errors import NotFound
from tenants.ids import parse_public_id, public_id
from tenants.models import ApiKey, PlatformKey
from tenants.pagination import list_of, page
from tenants.provisioning import find_tenant
from tenants.scope import acting_for, tenant_scope

from ..models import Limit, LimitOverride
from ..plans import current_plan
from .in_force import limits_in_force
from .overrides import NewOverride, add_override
from .quotas import quotas_in_use

PREFIX = "limit_"
_LATEST = 4_102_444_800  # the year 2100
_UNLIMITED = (Limit.WEIGHT, Limit.PRIORITY, Limit.ALLOWED_MODELS)


class LimitObject(serializers.Serializer):
    """A limit in force."""

    limit = serializers.CharField()
    value = serializers.IntegerField(allow_null=True, help_text="Null: no limit.")
    used = serializers.IntegerField(allow_null=True, help_text="Of what is held, or used this month.")
    resets_at = serializers.DateField(allow_null=True)


class LimitsObject(serializers.Serializer):
    """What a tenant may do at most."""

    object = serializers.CharField()
    plan = serializers.CharField()
    limits = LimitObject(many=True)
    allowed_models = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Null: all granted."
    )
    weight = serializers.IntegerField(help_text="Of its share of the workers.")
    priority = serializers.IntegerField(help_text="Seconds that its work counts as waiting longer than others'.")


class KeyLimitRequest(serializers.Serializer):
    """From a moment on a limit is another. Neither value nor names: as without it."""

    limit = serializers.CharField(max_length=32)
    value = serializers.IntegerField(required=False, allow_null=True, help_text="0: no limit.")
    names = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, allow_null=True, help_text="Of allowed models."
    )
    valid_from = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=_LATEST, help_text="Unix seconds; now where missing."
    )
    reason = serializers.CharField(max_length=200, default="", allow_blank=True)


class TenantLimitRequest(KeyLimitRequest):
    """The same, of the tenant, or of one of its keys."""

    api_key_id = serializers.CharField(required=False, allow_null=True, help_text="The tenant's where missing.")


class LimitOverrideObject(serializers.Serializer):
    """An override; the latest that has begun is in force."""

    id = serializers.CharField()
    object = serializers.CharField()
    api_key_id = serializers.CharField(allow_null=True)
    limit = serializers.CharField()
    value = serializers.IntegerField(allow_null=True)
    names = serializers.ListField(child=serializers.CharField(), allow_null=True)
    valid_from = serializers.IntegerField()
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.IntegerField()


class LimitsView(TenantAPIView):
    """`/v1/limits`."""

    scopes = {"GET": "budgets.read"}

    @extend_schema(operation_id="get_limits", responses=LimitsObject)
    def get(self, request: Request) -> Response:
        """What is in force for the tenant, and what is used of its quotas."""
        return Response(_in_force())


class KeyLimitsView(TenantAPIView):
    """`/v1/api_keys/{id}/limits`."""

    scopes = {"GET": "keys.write", "POST": "keys.write"}

    @extend_schema(operation_id="list_api_key_limits", responses=list_of(LimitOverrideObject))
    def get(self, request: Request, key_id: str) -> Response:
        """The key's overrides, past and coming ones included, newest first."""
        with tenant_scope():
            key = _key(key_id)
            return Response(page(LimitOverride.objects.filter(key_id=key), request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="set_api_key_limit", request=KeyLimitRequest, responses={201: LimitOverrideObject})
    def post(self, request: Request, key_id: str) -> Response:
        """Give the key a limit of its own from a moment on; the tenant's are counted beside it."""
        asked = KeyLimitRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        with tenant_scope():
            new = _new(asked.validated_data, _key(key_id))
        row = add_override(new, by=caller_of(request).actor, now=datetime.now(UTC))
        return Response(_shape(row), status=status.HTTP_201_CREATED)


class TenantLimitsView(PlatformAPIView):
    """`/v1/platform/tenants/{id}/limits`."""

    @extend_schema(operation_id="list_tenant_limits", responses=list_of(LimitOverrideObject))
    def get(self, request: Request, tenant_id: str) -> Response:
        """The tenant's overrides and its keys', past and coming ones included, newest first."""
        rows = LimitOverride.objects.filter(tenant_id=_tenant(tenant_id))
        return Response(page(rows, request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="set_tenant_limit", request=TenantLimitRequest, responses={201: LimitOverrideObject})
    def post(self, request: Request, tenant_id: str) -> Response:
        """Give the tenant, or one of its keys, another limit than its plan's from a moment on."""
        asked = TenantLimitRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        key = asked.validated_data.get("api_key_id")
        by = Actor("platform_key", str(cast(PlatformKey, request.user).pk))
        with acting_for(_tenant(tenant_id)), tenant_scope():
            new = _new(asked.validated_data, None if key is None else _key(key))
            row = add_override(new, by=by, now=datetime.now(UTC))
        return Response(_shape(row), status=status.HTTP_201_CREATED)


def _in_force() -> dict[str, Any]:
    limits, used = limits_in_force(), quotas_in_use()
    rows = []
    for limit in Limit:
        if limit not in _UNLIMITED:
            has, resets = used.get(limit, (None, None))
            rows.append({"limit": limit.value, "value": limits.value(limit) or None, "used": has, "resets_at": resets})
    return {
        "object": "limits",
        "plan": current_plan().slug,
        "limits": rows,
        "allowed_models": sorted(limits.tenant[Limit.ALLOWED_MODELS]) or None,
        "weight": limits.share.weight,
        "priority": limits.share.head_start,
    }


def _key(text: str) -> UUID:
    key_id = parse_public_id("key_", text)
    if key_id is None or not ApiKey.objects.filter(id=key_id).exists():
        raise NotFound("No such API key.")
    return key_id


def _tenant(text: str) -> UUID:
    tenant_id = parse_public_id("tenant_", text)
    if tenant_id is None:
        raise NotFound("No such tenant.")
    return find_tenant(tenant_id).id


def _new(given: dict[str, Any], key_id: UUID | None) -> NewOverride:
    begins = given.get("valid_from")
    return NewOverride(
        limit=given["limit"],
        value=given.get("value"),
        names=given.get("names"),
        key_id=key_id,
        valid_from=None if begins is None else datetime.fromtimestamp(begins, UTC),
        reason=given["reason"],
    )


def _shape(row: LimitOverride) -> dict[str, Any]:
    return {
        "id": public_id(PREFIX, row.id),
        "object": "limit_override",
        "api_key_id": None if row.key_id is None else public_id("key_", row.key_id),
        "limit": row.limit,
        "value": row.value,
        "names": row.names,
        "valid_from": int(row.valid_from.timestamp()),
        "reason": row.reason,
        "created_at": int(row.created_at.timestamp()),
    }
