"""`/v1/response_cache`: what is kept, and whose answers are."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.idempotency import idempotent

from ..models import CachePolicy
from ..models.response_cache import MAX_TTL_SECONDS
from . import entries, policies
from .entries import Figures


class CachePolicyRequest(serializers.Serializer):
    """How long the answers of a model are kept."""

    ttl_seconds = serializers.IntegerField(min_value=1, max_value=MAX_TTL_SECONDS)
    any_request = serializers.BooleanField(
        default=False,
        help_text="Also those to requests that ask for no determinism; else only with temperature 0 or a seed.",
    )


class CachePolicyObject(serializers.Serializer):
    """A model whose answers are kept, and how much of them is."""

    object = serializers.ChoiceField(["response_cache.policy"])
    model = serializers.CharField()
    ttl_seconds = serializers.IntegerField()
    any_request = serializers.BooleanField()
    entries = serializers.IntegerField()
    size_bytes = serializers.IntegerField()
    created_at = serializers.IntegerField(help_text="Unix seconds.")


class ResponseCacheObject(serializers.Serializer):
    """The tenant's response cache. How often it answered is in the usage of completions."""

    object = serializers.ChoiceField(["response_cache"])
    entries = serializers.IntegerField()
    size_bytes = serializers.IntegerField()
    max_entries = serializers.IntegerField(help_text="More push the oldest out.")
    max_bytes = serializers.IntegerField()
    policies = CachePolicyObject(many=True)


class CachePolicyDeleted(serializers.Serializer):
    """Answers of the model are kept no more."""

    object = serializers.ChoiceField(["response_cache.policy.deleted"])
    model = serializers.CharField()
    deleted = serializers.BooleanField()


class ResponseCacheEmptied(serializers.Serializer):
    """Nothing is kept."""

    object = serializers.ChoiceField(["response_cache.emptied"])
    deleted_entries = serializers.IntegerField()


class ResponseCacheView(TenantAPIView):
    """`/v1/response_cache`."""

    scopes = {"GET": "usage.read", "DELETE": "budgets.write"}

    @extend_schema(operation_id="get_response_cache", tags=["response cache"], responses=ResponseCacheObject)
    def get(self, request: Request) -> Response:
        """What is kept, by model."""
        found = entries.figures()
        rows = [_shape(row, found.get(row.grant_id, Figures(0, 0))) for row in policies.all_policies()]
        return Response(
            {
                "object": "response_cache",
                "entries": sum(one.entries for one in found.values()),
                "size_bytes": sum(one.size_bytes for one in found.values()),
                "max_entries": settings.RESPONSE_CACHE_MAX_ENTRIES,
                "max_bytes": settings.RESPONSE_CACHE_MAX_BYTES,
                "policies": rows,
            }
        )

    @extend_schema(operation_id="empty_response_cache", tags=["response cache"], responses=ResponseCacheEmptied)
    def delete(self, request: Request) -> Response:
        """Let go of all kept answers; the policies stay."""
        gone = entries.empty(by=caller_of(request).actor)
        return Response({"object": "response_cache.emptied", "deleted_entries": gone})


class CachePolicyView(TenantAPIView):
    """`/v1/response_cache/policies/{model}`; a model's name may hold `/` and `:`."""

    scopes = {"POST": "budgets.write", "DELETE": "budgets.write"}

    @extend_schema(
        operation_id="set_cache_policy",
        tags=["response cache"],
        request=CachePolicyRequest,
        responses=CachePolicyObject,
    )
    @idempotent()
    def post(self, request: Request, model_id: str) -> Response:
        """Keep the answers of a model; holds within seconds. A hit costs what your plan says (`cache_hits`)."""
        asked = CachePolicyRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        row = policies.set_policy(alias=model_id, by=caller_of(request).actor, now=datetime.now(UTC), **given)
        return Response(_shape(row, entries.figures().get(row.grant_id, Figures(0, 0))))

    @extend_schema(operation_id="delete_cache_policy", tags=["response cache"], responses=CachePolicyDeleted)
    def delete(self, request: Request, model_id: str) -> Response:
        """Keep no more answers of a model, and let go of those that are kept."""
        policies.remove_policy(alias=model_id, by=caller_of(request).actor)
        return Response({"object": "response_cache.policy.deleted", "model": model_id, "deleted": True})


def _shape(row: CachePolicy, kept: Figures) -> dict[str, Any]:
    return {
        "object": "response_cache.policy",
        "model": row.grant.alias,
        "ttl_seconds": row.ttl_seconds,
        "any_request": row.any_request,
        "entries": kept.entries,
        "size_bytes": kept.size_bytes,
        "created_at": int(row.created_at.timestamp()),
    }
