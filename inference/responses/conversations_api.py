"""`/v1/conversations`: create, get, update, delete; `/items`: add, list, get, delete."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import Field, field_validator
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.idempotency import idempotent
from tenants.scope import tenant_scope

from ..models import Conversation
from ..requests import Lenient, parse
from . import conversations
from .api import SCOPE, sight_of
from .conversations import MAX_ADDED, public
from .items import normalised, shown
from .pages import items_json, page_of_rows
from .requests import check_metadata

_PAGE = [OpenApiParameter(name) for name in ("after", "limit", "order")]
_ITEM = OpenApiResponse({"$ref": "#/components/schemas/Item"}, description="The item.")
_ITEMS = OpenApiResponse({"$ref": "#/components/schemas/ItemList"}, description="A page of items.")


class NewConversation(Lenient):
    """The body of a create."""

    items: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None

    _bounded = field_validator("metadata")(check_metadata)


class ChangedConversation(Lenient):
    """The body of an update."""

    metadata: dict[str, str] | None = Field(...)

    _bounded = field_validator("metadata")(check_metadata)


class AddedItems(Lenient):
    """The body of an addition."""

    items: list[dict[str, Any]] = Field(min_length=1)


class ConversationObject(serializers.Serializer):
    """A conversation."""

    id = serializers.CharField()
    object = serializers.ChoiceField(["conversation"])
    created_at = serializers.IntegerField(help_text="Unix seconds.")
    metadata = serializers.DictField(child=serializers.CharField())


class MetadataInput(serializers.Serializer):
    """New metadata."""

    metadata = serializers.DictField(child=serializers.CharField(), allow_null=True)


class ConversationInput(serializers.Serializer):
    """A conversation to create, with up to 20 items to begin with."""

    items = serializers.ListField(child=serializers.DictField(), required=False, allow_null=True)
    metadata = serializers.DictField(child=serializers.CharField(), required=False, allow_null=True)


class ItemsInput(serializers.Serializer):
    """Up to 20 items to append."""

    items = serializers.ListField(child=serializers.DictField())


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    """A conversation in OpenAI's shape."""
    return {
        "id": public(conversation),
        "object": "conversation",
        "created_at": int(conversation.created_at.timestamp()),
        "metadata": conversation.metadata,
    }


class ConversationsView(TenantAPIView):
    """The conversations."""

    scopes = {"POST": SCOPE}

    @extend_schema(
        operation_id="create_conversation", summary="Create a conversation", tags=["conversations"],
        request=ConversationInput, responses=ConversationObject,
    )  # fmt: skip
    @idempotent()
    def post(self, request: Request) -> Response:
        """Begin a conversation, with items or without."""
        body = parse(NewConversation, request.data)
        items = normalised(body.items or [], param="items", most=MAX_ADDED)
        conversation = conversations.create(
            items=items, metadata=body.metadata or {}, by=caller_of(request).actor, now=datetime.now(UTC)
        )
        return Response(conversation_json(conversation))


class ConversationView(TenantAPIView):
    """One conversation."""

    scopes = {"GET": SCOPE, "POST": SCOPE, "DELETE": SCOPE}

    @extend_schema(
        operation_id="get_conversation", summary="Retrieve a conversation", tags=["conversations"],
        responses=ConversationObject,
    )  # fmt: skip
    def get(self, request: Request, conversation_id: str) -> Response:
        """A conversation, without its items."""
        return Response(conversation_json(conversations.get(conversation_id)))

    @extend_schema(
        operation_id="update_conversation", summary="Update a conversation", tags=["conversations"],
        request=MetadataInput, responses=ConversationObject,
    )  # fmt: skip
    def post(self, request: Request, conversation_id: str) -> Response:
        """Replace a conversation's metadata."""
        body = parse(ChangedConversation, request.data)
        changed = conversations.change(conversation_id, metadata=body.metadata or {}, by=caller_of(request).actor)
        return Response(conversation_json(changed))

    class Deleted(serializers.Serializer):
        """The conversation is gone."""

        id = serializers.CharField()
        object = serializers.ChoiceField(["conversation.deleted"])
        deleted = serializers.BooleanField()

    @extend_schema(
        operation_id="delete_conversation", summary="Delete a conversation", tags=["conversations"], responses=Deleted
    )
    def delete(self, request: Request, conversation_id: str) -> Response:
        """Delete a conversation and its items. Responses that were made in it keep their own."""
        conversations.delete(conversation_id, by=caller_of(request).actor, now=datetime.now(UTC))
        return Response({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


class ConversationItemsView(TenantAPIView):
    """The items of a conversation."""

    scopes = {"GET": SCOPE, "POST": SCOPE}

    @extend_schema(
        operation_id="list_conversation_items", summary="List items", tags=["conversations"], parameters=_PAGE,
        responses=_ITEMS,
    )  # fmt: skip
    def get(self, request: Request, conversation_id: str) -> Response:
        """The items of a conversation, the newest first."""
        with tenant_scope():
            rows = conversations.visible(conversation_id, sight=sight_of(request), now=datetime.now(UTC))
            return Response(page_of_rows(rows, request))

    @extend_schema(
        operation_id="create_conversation_items", summary="Add items", tags=["conversations"], request=ItemsInput,
        responses=_ITEMS,
    )  # fmt: skip
    @idempotent()
    def post(self, request: Request, conversation_id: str) -> Response:
        """Append items to a conversation."""
        body = parse(AddedItems, request.data)
        items = normalised(body.items, param="items", most=MAX_ADDED)
        rows = conversations.add(conversation_id, items=items, sight=sight_of(request), now=datetime.now(UTC))
        return Response(items_json([shown(row.item, row.id) for row in rows]))


class ConversationItemView(TenantAPIView):
    """One item of a conversation."""

    scopes = {"GET": SCOPE, "DELETE": SCOPE}

    @extend_schema(
        operation_id="get_conversation_item", summary="Retrieve an item", tags=["conversations"], responses=_ITEM
    )
    def get(self, request: Request, conversation_id: str, item_id: str) -> Response:
        """One of a conversation's items."""
        row = conversations.get_item(conversation_id, item_id, sight=sight_of(request), now=datetime.now(UTC))
        return Response(shown(row.item, row.id))

    @extend_schema(
        operation_id="delete_conversation_item", summary="Delete an item", tags=["conversations"],
        responses=ConversationObject,
    )  # fmt: skip
    def delete(self, request: Request, conversation_id: str, item_id: str) -> Response:
        """Take an item out of a conversation; answers the conversation."""
        conversation = conversations.remove_item(
            conversation_id, item_id, sight=sight_of(request), now=datetime.now(UTC)
        )
        return Response(conversation_json(conversation))
