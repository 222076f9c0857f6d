"""Signing secrets of end-user tokens over REST: create and rotate (shown once), list, read, revoke."""

from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from . import signing_secrets
from .api_view import TenantAPIView
from .authentication import caller_of, forget_verified_keys
from .end_users import ALGORITHM, AUDIENCE, ISSUER_PREFIX
from .errors import NotFound, PermissionDenied
from .idempotency import idempotent
from .ids import parse_public_id, public_id
from .models import SigningSecret
from .pagination import list_of, page
from .permissions import SPEAKS_FOR_ALL
from .scope import tenant_scope
from .signing_secrets import PREFIX
from .throttling import KeyIssueThrottle


class SigningSecretObject(serializers.Serializer):
    """A signing secret without its value. Tokens name its `id` as `kid`, and carry `issuer` and `audience`."""

    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    algorithm = serializers.CharField()
    issuer = serializers.CharField()
    audience = serializers.CharField()
    created_at = serializers.IntegerField()
    expires_at = serializers.IntegerField(allow_null=True)
    revoked_at = serializers.IntegerField(allow_null=True)


class NewSigningSecretObject(SigningSecretObject):
    """A signing secret as it is shown once."""

    value = serializers.CharField(allow_null=True, help_text="Null where an Idempotency-Key is replayed.")


class SigningSecretDeleted(serializers.Serializer):
    """What revoking answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class SigningSecretsView(TenantAPIView):
    """`/v1/signing_secrets`."""

    scopes = {"GET": SPEAKS_FOR_ALL, "POST": SPEAKS_FOR_ALL}
    throttle_classes = [KeyIssueThrottle]

    class Create(serializers.Serializer):
        """A new secret."""

        name = serializers.CharField(max_length=100)

    @extend_schema(operation_id="list_signing_secrets", responses=list_of(SigningSecretObject))
    def get(self, request: Request) -> Response:
        """The tenant's signing secrets, ended ones included, newest first."""
        with tenant_scope():
            return Response(page(SigningSecret.objects.all(), request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="create_signing_secret", request=Create, responses={201: NewSigningSecretObject})
    @idempotent(secret_fields=("value",))
    def post(self, request: Request) -> Response:
        """Make a signing secret; its value is in this answer and nowhere else."""
        _refuse_limited(request)
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        row, value = signing_secrets.create_secret(
            name=body.validated_data["name"], by=caller_of(request).actor, now=datetime.now(UTC)
        )
        return Response({**_shape(row), "value": value}, status=status.HTTP_201_CREATED)


class SigningSecretView(TenantAPIView):
    """`/v1/signing_secrets/{id}`."""

    scopes = {"GET": SPEAKS_FOR_ALL, "DELETE": SPEAKS_FOR_ALL}

    @extend_schema(operation_id="get_signing_secret", responses=SigningSecretObject)
    def get(self, request: Request, secret_id: str) -> Response:
        """One signing secret."""
        ident = parse_public_id(PREFIX, secret_id)
        with tenant_scope():
            row = SigningSecret.objects.filter(id=ident).first() if ident else None
        if row is None:
            raise NotFound("No such signing secret.")
        return Response(_shape(row))

    @extend_schema(operation_id="revoke_signing_secret", responses=SigningSecretDeleted)
    def delete(self, request: Request, secret_id: str) -> Response:
        """Revoke a signing secret: tokens signed with it are refused. Its row stays for the audit."""
        _refuse_limited(request)
        signing_secrets.revoke_secret(
            secret_id=parse_public_id(PREFIX, secret_id), by=caller_of(request).actor, now=datetime.now(UTC)
        )
        # Other processes follow within API_KEY_CACHE_SECONDS; this one at once.
        forget_verified_keys()
        return Response({"id": secret_id, "object": "signing_secret.deleted", "deleted": True})


class SigningSecretRotationView(TenantAPIView):
    """`/v1/signing_secrets/{id}/rotate`."""

    scopes = {"POST": SPEAKS_FOR_ALL}
    throttle_classes = [KeyIssueThrottle]

    class Rotate(serializers.Serializer):
        """How long the old secret goes on beside the new one."""

        overlap_seconds = serializers.IntegerField(required=False, default=86_400, min_value=0, max_value=2_592_000)

    @extend_schema(operation_id="rotate_signing_secret", request=Rotate, responses={201: NewSigningSecretObject})
    @idempotent(secret_fields=("value",))
    def post(self, request: Request, secret_id: str) -> Response:
        """Make a successor, in this answer and nowhere else; the old secret ends after the overlap (a day)."""
        _refuse_limited(request)
        body = self.Rotate(data=request.data)
        body.is_valid(raise_exception=True)
        row, value = signing_secrets.rotate_secret(
            secret_id=parse_public_id(PREFIX, secret_id),
            overlap=timedelta(seconds=body.validated_data["overlap_seconds"]),
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        forget_verified_keys()
        return Response({**_shape(row), "value": value}, status=status.HTTP_201_CREATED)


def _refuse_limited(request: Request) -> None:
    """An end user's request does not change who may speak for end users."""
    if caller_of(request).limited:
        raise PermissionDenied(
            "A caller limited to groups may not change signing secrets. Leave the end-user token out."
        )


def _shape(row: SigningSecret) -> dict[str, Any]:
    return {
        "id": public_id(PREFIX, row.id),
        "object": "signing_secret",
        "name": row.name,
        "algorithm": ALGORITHM,
        "issuer": public_id(ISSUER_PREFIX, row.tenant_id),
        "audience": AUDIENCE,
        "created_at": int(row.created_at.timestamp()),
        "expires_at": None if row.expires_at is None else int(row.expires_at.timestamp()),
        "revoked_at": None if row.revoked_at is None else int(row.revoked_at.timestamp()),
    }
