"""What is done with chat completions beside creating them, in the SDK's shapes; and what their paths refuse.

Creating is the hot path's (`inference.gateway`): a POST to one of its paths never comes here.
"""

import re
from collections.abc import Mapping
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from knowledge.attributes import check_metadata
from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.ids import parse_public_id
from tenants.pagination import list_of, page, page_of
from tenants.scope import tenant_scope

from . import stored_completions
from .stored_completions import PREFIX, completion_json, messages_json, no_completion

_METADATA = re.compile(r"metadata\[([^\]]{1,64})\]")
_PAGING = [OpenApiParameter(name) for name in ("after", "limit", "order")]


class StoredCompletionObject(serializers.Serializer):
    """A stored chat completion: a `ChatCompletion` with its metadata and what its request set."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = serializers.ListField(child=serializers.DictField())
    usage = serializers.DictField()
    metadata = serializers.DictField(child=serializers.CharField())


class StoredMessageObject(serializers.Serializer):
    """A message of the request."""

    id = serializers.CharField()
    role = serializers.CharField()
    content = serializers.CharField(allow_null=True)
    content_parts = serializers.ListField(child=serializers.DictField(), allow_null=True)


class CompletionDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class StoredCompletionsView(TenantAPIView):
    """The stored chat completions of the tenant."""

    scopes = {"GET": "inference"}

    @extend_schema(
        operation_id="list_chat_completions",
        summary="List stored chat completions",
        tags=["chat"],
        parameters=[
            *_PAGING,
            OpenApiParameter("model"),
            OpenApiParameter("metadata", {"type": "object"}, style="deepObject", explode=True),
        ],
        responses=list_of(StoredCompletionObject),
    )
    def get(self, request: Request) -> Response:
        """Chat completions that were made with `store: true` and are still kept, the oldest first."""
        with tenant_scope():
            rows = stored_completions.stored_completions(
                sight=caller_of(request).sight,
                model=request.query_params.get("model"),
                metadata=_metadata(request.query_params),
            )
            return Response(page(rows, request, prefix=PREFIX, shape=completion_json, default_order="asc"))


class StoredCompletionView(TenantAPIView):
    """One stored chat completion."""

    scopes = {"GET": "inference", "POST": "inference", "DELETE": "inference"}

    class Update(serializers.Serializer):
        """What can be changed."""

        metadata = serializers.DictField(allow_null=True)

    @extend_schema(
        operation_id="get_chat_completion",
        summary="Retrieve a stored chat completion",
        tags=["chat"],
        responses=StoredCompletionObject,
    )
    def get(self, request: Request, completion_id: str) -> Response:
        """A stored chat completion."""
        row = stored_completions.get_completion(completion_id=_parsed(completion_id), sight=caller_of(request).sight)
        return Response(completion_json(row))

    @extend_schema(
        operation_id="update_chat_completion",
        summary="Update a stored chat completion",
        tags=["chat"],
        request=Update,
        responses=StoredCompletionObject,
    )
    def post(self, request: Request, completion_id: str) -> Response:
        """Change a stored chat completion's metadata."""
        body = self.Update(data=request.data)
        body.is_valid(raise_exception=True)
        row = stored_completions.describe_completion(
            completion_id=_parsed(completion_id),
            sight=caller_of(request).sight,
            metadata=check_metadata(body.validated_data["metadata"]),
        )
        return Response(completion_json(row))

    @extend_schema(
        operation_id="delete_chat_completion",
        summary="Delete a stored chat completion",
        tags=["chat"],
        responses={200: CompletionDeleted},
    )
    def delete(self, request: Request, completion_id: str) -> Response:
        """Erase a stored chat completion; what it cost stays in the ledger."""
        caller, ident = caller_of(request), _parsed(completion_id)
        stored_completions.delete_completion(completion_id=ident, sight=caller.sight, by=caller.actor)
        return Response({"id": completion_id, "object": "chat.completion.deleted", "deleted": True})


class StoredMessagesView(TenantAPIView):
    """The messages of a stored chat completion."""

    scopes = {"GET": "inference"}

    @extend_schema(
        operation_id="list_chat_completion_messages",
        summary="List the messages of a stored chat completion",
        tags=["chat"],
        parameters=_PAGING,
        responses=list_of(StoredMessageObject),
    )
    def get(self, request: Request, completion_id: str) -> Response:
        """The messages that a stored chat completion answered, in their order."""
        row = stored_completions.get_completion(completion_id=_parsed(completion_id), sight=caller_of(request).sight)
        return Response(page_of(messages_json(row), request))


class HotPathView(TenantAPIView):
    """A path of the hot path for every method but its POST: 405."""


def _parsed(text: str) -> UUID:
    completion_id = parse_public_id(PREFIX, text)
    if completion_id is None:
        raise no_completion()
    return completion_id


def _metadata(query: Mapping[str, str]) -> dict[str, str]:
    """The pairs of `metadata[key]=value`."""
    found = {match[1]: value for name, value in query.items() if (match := _METADATA.fullmatch(name))}
    return check_metadata(found)
