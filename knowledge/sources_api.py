"""`/v1/vector_stores/{id}/sources`: buckets that a store follows. Credentials go in and never come out."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest, PermissionDenied
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import tasks
from .files_api import PREFIX as FILE_PREFIX
from .files_api import Deleted
from .models import BucketObject, BucketSource
from .sources import bucket_sources
from .sources.buckets import Place
from .vector_stores_api import PREFIX as STORE_PREFIX

PREFIX = "src_"
OBJECT_PREFIX = "srcobj_"
_COUNTS = ("seen", "added", "changed", "removed", "unchanged", "skipped")


class VectorStoreSourceObject(serializers.Serializer):
    """A bucket that a store follows. `counts` are of the last synchronisation, or of the one under way."""

    class Counts(serializers.Serializer):
        """Objects of the bucket, by what became of them."""

        seen = serializers.IntegerField()
        added = serializers.IntegerField()
        changed = serializers.IntegerField()
        removed = serializers.IntegerField()
        unchanged = serializers.IntegerField()
        skipped = serializers.IntegerField()

    id = serializers.CharField()
    object = serializers.CharField(default="vector_store.source")
    type = serializers.ChoiceField(choices=["s3"])
    vector_store_id = serializers.CharField()
    bucket = serializers.CharField()
    prefix = serializers.CharField(allow_blank=True)
    region = serializers.CharField()
    endpoint_url = serializers.CharField(allow_null=True)
    sync_every_minutes = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(choices=["in_progress", "completed", "failed"])
    counts = Counts()
    last_error = serializers.CharField(allow_null=True)
    last_started_at = serializers.IntegerField(allow_null=True)
    last_completed_at = serializers.IntegerField(allow_null=True)
    next_sync_at = serializers.IntegerField(allow_null=True)
    created_at = serializers.IntegerField()


def source_json(source: BucketSource) -> dict[str, Any]:
    """A source as clients see it: without its credentials."""
    status = "in_progress" if source.sync_id else "failed" if source.last_error else "completed"
    return {
        "id": public_id(PREFIX, source.id),
        "object": "vector_store.source",
        "type": "s3",
        "vector_store_id": public_id(STORE_PREFIX, source.store_id),
        "bucket": source.bucket,
        "prefix": source.prefix,
        "region": source.region,
        "endpoint_url": source.endpoint_url or None,
        "sync_every_minutes": source.sync_every_minutes,
        "status": status,
        "counts": {name: source.counts.get(name, 0) for name in _COUNTS},
        "last_error": source.last_error or None,
        "created_at": int(source.created_at.timestamp()),
        **{name: _seconds(getattr(source, name)) for name in ("last_started_at", "last_completed_at", "next_sync_at")},
    }


def _seconds(moment: Any) -> int | None:
    return int(moment.timestamp()) if moment is not None else None


class SourcesAPIView(TenantAPIView):
    """Sources are the tenant's own: they show, and bring in, files whatever the groups of who asks."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse callers that are limited to groups."""
        super().initial(request, *args, **kwargs)
        if caller_of(request).sight is not None:
            raise PermissionDenied("A caller that is limited to groups cannot manage sources.")


class SourcesView(SourcesAPIView):
    """The sources of a store."""

    scopes = {"GET": "vector_stores.read", "POST": "vector_stores.write"}

    class Create(serializers.Serializer):
        """A bucket to follow."""

        type = serializers.ChoiceField(choices=["s3"])
        bucket = serializers.CharField(max_length=255)
        prefix = serializers.CharField(required=False, allow_blank=True, allow_null=True, trim_whitespace=False)
        region = serializers.CharField(max_length=64)
        endpoint_url = serializers.CharField(max_length=500, required=False, allow_blank=True, allow_null=True)
        access_key_id = serializers.CharField(max_length=512, write_only=True)
        secret_access_key = serializers.CharField(max_length=512, write_only=True)
        sync_every_minutes = serializers.IntegerField(required=False, allow_null=True, min_value=5, max_value=525_600)

    @extend_schema(operation_id="create_vector_store_source", request=Create, responses=VectorStoreSourceObject)
    @idempotent()
    def post(self, request: Request, store_id: str) -> Response:
        """Let a store follow the objects of an S3 bucket under a prefix: new, changed and deleted.

        The first synchronisation begins at once, further ones when asked for or every `sync_every_minutes`.
        """
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        source = tasks.start_source(
            store_id=parse_public_id(STORE_PREFIX, store_id),
            place=Place(
                bucket=values["bucket"],
                prefix=values.get("prefix") or "",
                region=values["region"],
                endpoint_url=values.get("endpoint_url") or "",
                access_key_id=values["access_key_id"],
                secret_access_key=values["secret_access_key"],
            ),
            sync_every_minutes=values.get("sync_every_minutes"),
            by=caller_of(request).actor,
            key_id=caller_of(request).key_id,
        )
        return Response(source_json(source))

    @extend_schema(
        operation_id="list_vector_store_sources",
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order")],
        responses=list_of(VectorStoreSourceObject),
    )
    def get(self, request: Request, store_id: str) -> Response:
        """List the sources of a store, the newest first."""
        with tenant_scope():
            rows = bucket_sources.sources_of(store_id=parse_public_id(STORE_PREFIX, store_id))
            return Response(page(rows, request, prefix=PREFIX, shape=source_json))


class SourceView(SourcesAPIView):
    """One source."""

    scopes = {"GET": "vector_stores.read", "DELETE": "vector_stores.write"}

    @extend_schema(operation_id="get_vector_store_source", responses=VectorStoreSourceObject)
    def get(self, request: Request, store_id: str, source_id: str) -> Response:
        """Retrieve a source."""
        return Response(source_json(bucket_sources.get_source(**_ids(store_id, source_id))))

    @extend_schema(operation_id="delete_vector_store_source", responses={200: Deleted})
    def delete(self, request: Request, store_id: str, source_id: str) -> Response:
        """Stop following a bucket; the files that it brought stay."""
        source = bucket_sources.delete_source(**_ids(store_id, source_id), by=caller_of(request).actor)
        return Response({"id": public_id(PREFIX, source.id), "object": "vector_store.source.deleted", "deleted": True})


class SourceSyncView(SourcesAPIView):
    """A synchronisation on demand."""

    scopes = {"POST": "vector_stores.write"}

    @extend_schema(operation_id="sync_vector_store_source", request=None, responses=VectorStoreSourceObject)
    def post(self, request: Request, store_id: str, source_id: str) -> Response:
        """Synchronise now, unless a synchronisation waits or runs."""
        source = tasks.start_sync(**_ids(store_id, source_id), by=caller_of(request).actor)
        return Response(source_json(source))


class SourceObjectsView(SourcesAPIView):
    """What a source has seen in its bucket."""

    scopes = {"GET": "vector_stores.read"}

    class BucketObjectObject(serializers.Serializer):
        """An object of a bucket: the file that it is, or the reason why it is none."""

        id = serializers.CharField()
        object = serializers.CharField(default="vector_store.source.object")
        key = serializers.CharField()
        size = serializers.IntegerField()
        status = serializers.ChoiceField(choices=["followed", "skipped"])
        file_id = serializers.CharField(allow_null=True)
        reason = serializers.CharField(allow_null=True)

    @extend_schema(
        operation_id="list_vector_store_source_objects",
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order", "filter")],
        responses=list_of(BucketObjectObject),
    )
    def get(self, request: Request, store_id: str, source_id: str) -> Response:
        """List the objects of a source; `filter` is `followed` or `skipped`, which have a reason."""
        wanted = request.query_params.get("filter")
        if wanted not in (None, "followed", "skipped"):
            raise InvalidRequest("Invalid 'filter': must be 'followed' or 'skipped'.", param="filter")
        with tenant_scope():
            source = bucket_sources.get_source(**_ids(store_id, source_id))
            rows = bucket_sources.objects_of(source, skipped=None if wanted is None else wanted == "skipped")
            return Response(page(rows, request, prefix=OBJECT_PREFIX, shape=_object_json))


def _object_json(row: BucketObject) -> dict[str, Any]:
    return {
        "id": public_id(OBJECT_PREFIX, row.id),
        "object": "vector_store.source.object",
        "key": bytes(row.key).decode(),
        "size": row.size,
        "status": "skipped" if row.reason else "followed",
        "file_id": public_id(FILE_PREFIX, row.file_id) if row.file_id else None,
        "reason": row.reason or None,
    }


def _ids(store_id: str, source_id: str) -> dict[str, Any]:
    return {"store_id": parse_public_id(STORE_PREFIX, store_id), "source_id": parse_public_id(PREFIX, source_id)}
