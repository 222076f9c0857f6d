"""API keys over REST: issue (shown once), list, read, revoke. The list is the tenant's; the scope is `keys.write`."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from . import api_keys, tags
from .api_view import TenantAPIView
from .authentication import caller_of, forget_verified_keys
from .errors import NotFound
from .idempotency import idempotent
from .ids import parse_public_id, public_id
from .models import ApiKey
from .pagination import list_of, page
from .scope import tenant_scope
from .throttling import KeyIssueThrottle

PREFIX = "key_"
_LARGEST = 2_147_483_647


class KeyRequest(serializers.Serializer):
    """What a new key is to be."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(max_length=40), allow_empty=False, max_length=50)
    expires_at = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=253_402_300_799,
        help_text="Unix seconds; never if null.",
    )
    requests_per_minute = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=_LARGEST)
    tokens_per_minute = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=_LARGEST)
    concurrent_calls = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=_LARGEST)
    groups = serializers.ListField(
        child=serializers.CharField(max_length=128, trim_whitespace=False),
        required=False,
        max_length=100,
        help_text="What the key finds beside what is open to all, and the most that an end-user token can reach with it.",
    )
    tags = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="Allocation tags of its calls: at most 16, for reports and budgets.",
    )


class KeyTags(serializers.Serializer):
    """What of a key can be changed."""

    tags = serializers.DictField(child=serializers.CharField(), help_text="Replace those that it has.")


class KeyObject(serializers.Serializer):
    """A key, without its secret."""

    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    redacted_value = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.IntegerField()
    expires_at = serializers.IntegerField(allow_null=True)
    revoked_at = serializers.IntegerField(allow_null=True)
    last_used_at = serializers.IntegerField(allow_null=True)
    requests_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_minute = serializers.IntegerField(allow_null=True)
    concurrent_calls = serializers.IntegerField(allow_null=True)
    groups = serializers.ListField(child=serializers.CharField())
    tags = serializers.DictField(child=serializers.CharField())


class NewKeyObject(KeyObject):
    """A key as it is shown once, when made."""

    value = serializers.CharField(allow_null=True, help_text="The key. Null where an Idempotency-Key is replayed.")


class KeyDeleted(serializers.Serializer):
    """What revoking answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class KeysView(TenantAPIView):
    """`/v1/api_keys`."""

    scopes = {"GET": "keys.write", "POST": "keys.write"}
    throttle_classes = [KeyIssueThrottle]

    @extend_schema(operation_id="list_api_keys", responses=list_of(KeyObject))
    def get(self, request: Request) -> Response:
        """The tenant's keys, revoked ones included, newest first."""
        with tenant_scope():
            return Response(page(ApiKey.objects.filter(purpose=""), request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="create_api_key", request=KeyRequest, responses={201: NewKeyObject})
    @idempotent(secret_fields=("value",))
    def post(self, request: Request) -> Response:
        """Make a key with some of the caller's own scopes and groups; its value is in this answer and nowhere else."""
        asked = KeyRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = dict(asked.validated_data)
        ends = wanted.pop("expires_at", None)
        wanted["tags"] = tags.check_tags(wanted.pop("tags", {}))
        caller = caller_of(request)
        key, value = api_keys.issue(
            **wanted,
            expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
            by=caller.actor,
            giver=caller,
            now=datetime.now(UTC),
        )
        with tenant_scope():
            key.refresh_from_db()
        return Response({**_shape(key), "value": value}, status=status.HTTP_201_CREATED)


class KeyView(TenantAPIView):
    """`/v1/api_keys/{id}`."""

    scopes = {"GET": "keys.write", "POST": "keys.write", "DELETE": "keys.write"}

    @extend_schema(operation_id="get_api_key", responses=KeyObject)
    def get(self, request: Request, key_id: str) -> Response:
        """One key."""
        with tenant_scope():
            key = ApiKey.objects.filter(id=_parsed(key_id), purpose="").first()
        if key is None:
            raise NotFound("No such API key.")
        return Response(_shape(key))

    @extend_schema(operation_id="tag_api_key", request=KeyTags, responses=KeyObject)
    def post(self, request: Request, key_id: str) -> Response:
        """Replace a key's allocation tags. They hold for calls that are made a few seconds from now."""
        asked = KeyTags(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data["tags"]
        key = tags.set_key_tags(key_id=_parsed(key_id), tags=given, by=caller_of(request).actor)
        forget_verified_keys()
        return Response(_shape(key))

    @extend_schema(operation_id="revoke_api_key", responses=KeyDeleted)
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key, for ever; its row stays for the audit. Revoking again changes nothing."""
        api_keys.revoke(key_id=_parsed(key_id), by=caller_of(request).actor, now=datetime.now(UTC))
        # Other processes follow within API_KEY_CACHE_SECONDS; this one at once.
        forget_verified_keys()
        return Response({"id": key_id, "object": "api_key.deleted", "deleted": True})


def _parsed(text: str) -> UUID:
    key_id = parse_public_id(PREFIX, text)
    if key_id is None:
        raise NotFound("No such API key.")
    return key_id


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _shape(key: ApiKey) -> dict[str, Any]:
    return {
        "id": public_id(PREFIX, key.id),
        "object": "api_key",
        "name": key.name,
        "redacted_value": f"sk-…-{key.prefix}-…",
        "scopes": key.scopes,
        "created_at": _seconds(key.created_at),
        "expires_at": _seconds(key.expires_at),
        "revoked_at": _seconds(key.revoked_at),
        "last_used_at": _seconds(key.last_used_at),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "concurrent_calls": key.concurrent_calls,
        "groups": key.groups,
        "tags": key.tags,
    }
