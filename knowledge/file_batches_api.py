"""`/v1/vector_stores/{id}/file_batches`: create, get, cancel, list files."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of
from tenants.scope import tenant_scope

from . import file_batches, tasks
from .attachments import Wanted
from .attachments_api import Attach, VectorStoreFileObject, attachments_page, wanted_of
from .models import FileBatch
from .request_fields import AllowedGroupsInput, ChunkingInput
from .vector_stores import FileCounts
from .vector_stores_api import PREFIX as STORE_PREFIX
from .vector_stores_api import FileCountsObject, counts_json

PREFIX = "vsfb_"
_READ, _WRITE = "vector_stores.read", "vector_stores.write"


class FileBatchObject(serializers.Serializer):
    """A file batch as clients see it."""

    id = serializers.CharField()
    object = serializers.CharField(default="vector_store.files_batch")
    created_at = serializers.IntegerField()
    vector_store_id = serializers.CharField()
    status = serializers.ChoiceField(choices=["in_progress", "completed", "cancelled", "failed"])
    file_counts = FileCountsObject()


def batch_json(batch: FileBatch, counts: FileCounts) -> dict[str, Any]:
    """A file batch in OpenAI's shape."""
    return {
        "id": public_id(PREFIX, batch.id),
        "object": "vector_store.files_batch",
        "created_at": int(batch.created_at.timestamp()),
        "vector_store_id": public_id(STORE_PREFIX, batch.store_id),
        "status": file_batches.status_of(batch, counts),
        "file_counts": counts_json(counts),
    }


class FileBatchesView(TenantAPIView):
    """The file batches of a store."""

    scopes = {"POST": _WRITE}

    class Create(serializers.Serializer):
        """Files to attach: `file_ids`, all described and cut alike, or `files`, each by itself."""

        file_ids = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True)
        files = serializers.ListField(child=Attach(), required=False, allow_null=True)
        attributes = serializers.DictField(required=False, allow_null=True)
        allowed_groups = AllowedGroupsInput(required=False, allow_null=True)
        chunking_strategy = ChunkingInput(required=False, allow_null=True)

    @extend_schema(operation_id="create_vector_store_file_batch", request=Create, responses=FileBatchObject)
    @idempotent()
    def post(self, request: Request, store_id: str) -> Response:
        """Attach files as a batch; their ingestion begins."""
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        param, wanted = _wanted(body.validated_data)
        batch = tasks.start_batch(
            store_id=parse_public_id(STORE_PREFIX, store_id),
            wanted=wanted,
            by=caller_of(request).actor,
            key_id=caller_of(request).key_id,
            param=param,
            sight=caller_of(request).sight,
        )
        return Response(batch_json(*file_batches.get_batch(store_id=batch.store_id, batch_id=batch.id)))


def _wanted(values: dict[str, Any]) -> tuple[str, list[Wanted]]:
    """(the parameter that named them, the files)."""
    ids, files = values.get("file_ids"), values.get("files")
    if (ids is None) == (files is None):
        raise InvalidRequest("Give either 'file_ids' or 'files'.", param="file_ids")
    if files is not None:
        return "files", [wanted_of(file) for file in files]
    described: dict[str, Any] = {
        key: values[key] for key in ("attributes", "allowed_groups", "chunking_strategy") if key in values
    }
    return "file_ids", [wanted_of({"file_id": file_id, **described}) for file_id in ids or ()]


class FileBatchView(TenantAPIView):
    """One file batch."""

    scopes = {"GET": _READ}

    @extend_schema(operation_id="get_vector_store_file_batch", responses=FileBatchObject)
    def get(self, request: Request, store_id: str, batch_id: str) -> Response:
        """Retrieve a file batch."""
        return Response(batch_json(*file_batches.get_batch(**_ids(store_id, batch_id))))


class FileBatchCancelView(TenantAPIView):
    """The end of a file batch."""

    scopes = {"POST": _WRITE}

    @extend_schema(operation_id="cancel_vector_store_file_batch", request=None, responses=FileBatchObject)
    def post(self, request: Request, store_id: str, batch_id: str) -> Response:
        """Stop the ingestion of those of its files that are still on their way."""
        found = file_batches.cancel_batch(**_ids(store_id, batch_id), by=caller_of(request).actor)
        return Response(batch_json(*found))


class FileBatchFilesView(TenantAPIView):
    """The files of a file batch."""

    scopes = {"GET": _READ}

    @extend_schema(
        operation_id="list_vector_store_file_batch_files",
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order", "filter")],
        responses=list_of(VectorStoreFileObject),
    )
    def get(self, request: Request, store_id: str, batch_id: str) -> Response:
        """List the files of a batch, the newest file first; `filter` is a status."""
        batch, _ = file_batches.get_batch(**_ids(store_id, batch_id))
        with tenant_scope():
            rows = file_batches.files_of(batch, sight=caller_of(request).sight)
            return Response(attachments_page(rows, request))


def _ids(store_id: str, batch_id: str) -> dict[str, Any]:
    return {"store_id": parse_public_id(STORE_PREFIX, store_id), "batch_id": parse_public_id(PREFIX, batch_id)}
