"""Allocation tags over REST: which names of calls' `metadata` become tags, for reports and budgets."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from .api_view import TenantAPIView
from .authentication import caller_of, forget_verified_keys
from .tags import allocation_tags, set_allocation_tags


class AllocationTagsRequest(serializers.Serializer):
    """The names, in place of those before."""

    names = serializers.ListField(child=serializers.CharField(), help_text="At most 16, of 64 characters each.")


class AllocationTagsObject(serializers.Serializer):
    """What of calls' `metadata` becomes a tag."""

    object = serializers.CharField()
    names = serializers.ListField(child=serializers.CharField())


class AllocationTagsView(TenantAPIView):
    """`/v1/allocation_tags`."""

    scopes = {"GET": "budgets.read", "POST": "budgets.write"}

    @extend_schema(operation_id="get_allocation_tags", responses=AllocationTagsObject)
    def get(self, request: Request) -> Response:
        """The names that are active."""
        return Response(_shape(allocation_tags()))

    @extend_schema(operation_id="set_allocation_tags", request=AllocationTagsRequest, responses=AllocationTagsObject)
    def post(self, request: Request) -> Response:
        """Replace them. They hold for calls that are made a few seconds from now; what is booked stays as it is."""
        asked = AllocationTagsRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        names = set_allocation_tags(names=asked.validated_data["names"], by=caller_of(request).actor)
        forget_verified_keys()
        return Response(_shape(names))


def _shape(names: list[str]) -> dict[str, Any]:
    return {"object": "allocation_tags", "names": names}
