"""`/v1/vector_stores/{id}/files`: attach, list, read, describe, detach. On the wire they have their file's id."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest, NotFound
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import attachments, tasks, vector_stores
from .access import UNCHANGED, allowed_groups_in
from .attachments import State, Wanted
from .files_api import PREFIX as FILE_PREFIX
from .files_api import Deleted
from .models import File, VectorStoreFile
from .removal import IN_PROGRESS
from .request_fields import AllowedGroupsInput, ChunkingInput, chunking_of
from .vector_stores_api import PREFIX as STORE_PREFIX

_STATUSES: dict[str, tuple[str, ...]] = {
    "in_progress": IN_PROGRESS,
    "completed": (State.COMPLETED,),
    "failed": (State.FAILED,),
    "cancelled": (State.CANCELLED,),
}


class VectorStoreFileObject(serializers.Serializer):
    """A file in a store as clients see it; `state`, `percent` and `pages` are ours, and finer than `status`."""

    class LastError(serializers.Serializer):
        """Why it failed."""

        code = serializers.ChoiceField(choices=["server_error", "unsupported_file", "invalid_file"])
        message = serializers.CharField()

    class Pages(serializers.Serializer):
        """Of a document with pages, how many are read."""

        done = serializers.IntegerField()
        total = serializers.IntegerField()

    id = serializers.CharField()
    object = serializers.CharField(default="vector_store.file")
    created_at = serializers.IntegerField()
    vector_store_id = serializers.CharField()
    status = serializers.ChoiceField(choices=list(_STATUSES))
    last_error = LastError(allow_null=True)
    usage_bytes = serializers.IntegerField()
    attributes = serializers.DictField()
    allowed_groups = serializers.ListField(child=serializers.CharField(), allow_null=True)
    chunking_strategy = ChunkingInput()
    state = serializers.ChoiceField(choices=State.choices)
    percent = serializers.IntegerField()
    pages = Pages(allow_null=True)


def attachment_json(attachment: VectorStoreFile) -> dict[str, Any]:
    """A store's file in OpenAI's shape, with its progress."""
    failed = attachment.state == State.FAILED
    return {
        "id": public_id(FILE_PREFIX, attachment.file_id),
        "object": "vector_store.file",
        "created_at": int(attachment.created_at.timestamp()),
        "vector_store_id": public_id(STORE_PREFIX, attachment.store_id),
        "status": next(name for name, states in _STATUSES.items() if attachment.state in states),
        "last_error": {"code": attachment.error_code, "message": attachment.error_message} if failed else None,
        "usage_bytes": attachment.usage_bytes,
        "attributes": attachment.attributes,
        "allowed_groups": attachment.allowed_groups,
        "chunking_strategy": {"type": "static", "static": attachment.chunking},
        "state": attachment.state,
        "percent": attachment.percent,
        "pages": _pages(attachment),
    }


class Attach(serializers.Serializer):
    """A file to attach. `replaces` (ours) is the id of a file of the store: it answers until this one is completed,
    and is detached in that moment; if this one fails it stays.
    """

    file_id = serializers.CharField()
    attributes = serializers.DictField(required=False, allow_null=True)
    allowed_groups = AllowedGroupsInput(required=False, allow_null=True)
    chunking_strategy = ChunkingInput(required=False, allow_null=True)
    replaces = serializers.CharField(required=False, allow_null=True)


def wanted_of(values: dict[str, Any]) -> Wanted:
    """A checked `Attach`.

    Raises:
        NotFound: `replaces` is not the id of a file.
    """
    replaces = values.get("replaces")
    replaced = parse_public_id(FILE_PREFIX, replaces) if replaces is not None else None
    if replaces is not None and replaced is None:
        raise NotFound("No such VectorStoreFile object.", param="replaces")
    return Wanted(
        file_id=parse_public_id(FILE_PREFIX, values["file_id"]),
        attributes=values.get("attributes"),
        strategy=chunking_of(values.get("chunking_strategy")),
        replaces=replaced,
        allowed_groups=allowed_groups_in(values),
    )


def attachments_page(rows: QuerySet[VectorStoreFile], request: Request) -> dict[str, Any]:
    """A page of attachments of one store, as the request's `filter` (a status) and cursor say; inside a scope.

    Raises:
        InvalidRequest: a filter, limit, order or cursor that makes no sense.
    """
    wanted = request.query_params.get("filter")
    if wanted is not None and wanted not in _STATUSES:
        raise InvalidRequest(f"Invalid 'filter': must be one of {', '.join(_STATUSES)}.", param="filter")
    if wanted is not None:
        rows = rows.filter(state__in=_STATUSES[wanted])
    # By files, not attachments: the ids that clients see, and page by, are the files'.
    files = File.objects.filter(id__in=rows.values("file_id"))
    listed = files.prefetch_related(Prefetch("attachments", queryset=rows, to_attr="in_store"))
    return page(listed, request, prefix=FILE_PREFIX, shape=lambda file: attachment_json(file.in_store[0]))


def _pages(attachment: VectorStoreFile) -> dict[str, int] | None:
    if attachment.pages_total is None:
        return None
    return {"done": attachment.pages_done, "total": attachment.pages_total}


class AttachmentsView(TenantAPIView):
    """The files of a store."""

    scopes = {"GET": "vector_stores.read", "POST": "vector_stores.write"}

    @extend_schema(operation_id="create_vector_store_file", request=Attach, responses=VectorStoreFileObject)
    @idempotent()
    def post(self, request: Request, store_id: str) -> Response:
        """Attach a file; its ingestion begins."""
        body = Attach(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = wanted_of(body.validated_data)
        attachment = tasks.start_ingestion(
            store_id=parse_public_id(STORE_PREFIX, store_id),
            file_id=wanted.file_id,
            by=caller_of(request).actor,
            key_id=caller_of(request).key_id,
            attributes=wanted.attributes,
            strategy=wanted.strategy,
            replaces=wanted.replaces,
            allowed_groups=wanted.allowed_groups,
            sight=caller_of(request).sight,
        )
        return Response(attachment_json(attachment))

    @extend_schema(
        operation_id="list_vector_store_files",
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order", "filter")],
        responses=list_of(VectorStoreFileObject),
    )
    def get(self, request: Request, store_id: str) -> Response:
        """List the files of a store, the newest file first; `filter` is a status.

        A caller that is limited to groups sees the files that it may find, every other caller all of them.
        """
        store = vector_stores.get_store(store_id=parse_public_id(STORE_PREFIX, store_id))
        with tenant_scope():
            rows = attachments.attachments_of(store, sight=caller_of(request).sight)
            return Response(attachments_page(rows, request))


class AttachmentView(TenantAPIView):
    """One file of a store."""

    scopes = {"GET": "vector_stores.read", "POST": "vector_stores.write", "DELETE": "vector_stores.write"}

    class Describe(serializers.Serializer):
        """What can be changed."""

        attributes = serializers.DictField(required=False, allow_null=True)
        allowed_groups = AllowedGroupsInput(required=False, allow_null=True)

        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            """Something is to be changed."""
            if not attrs:
                raise serializers.ValidationError({"attributes": "is required, or allowed_groups."})
            return attrs

    @extend_schema(operation_id="get_vector_store_file", responses=VectorStoreFileObject)
    def get(self, request: Request, store_id: str, file_id: str) -> Response:
        """Retrieve a file of a store."""
        attachment = attachments.get_attachment(**_ids(store_id, file_id), sight=caller_of(request).sight)
        return Response(attachment_json(attachment))

    @extend_schema(operation_id="update_vector_store_file", request=Describe, responses=VectorStoreFileObject)
    def post(self, request: Request, store_id: str, file_id: str) -> Response:
        """Replace the attributes of a file of a store, or who finds it."""
        body = self.Describe(data=request.data)
        body.is_valid(raise_exception=True)
        attachment = attachments.describe(
            **_ids(store_id, file_id),
            by=caller_of(request).actor,
            attributes=body.validated_data.get("attributes", UNCHANGED),
            allowed_groups=allowed_groups_in(body.validated_data),
            sight=caller_of(request).sight,
        )
        return Response(attachment_json(attachment))

    @extend_schema(operation_id="delete_vector_store_file", responses={200: Deleted})
    def delete(self, request: Request, store_id: str, file_id: str) -> Response:
        """Detach a file from a store; the file stays."""
        caller = caller_of(request)
        attachment = attachments.detach(**_ids(store_id, file_id), by=caller.actor, sight=caller.sight)
        return Response(
            {"id": public_id(FILE_PREFIX, attachment.file_id), "object": "vector_store.file.deleted", "deleted": True}
        )


class AttachmentContentView(TenantAPIView):
    """What was read from a file."""

    scopes = {"GET": "vector_stores.read"}

    class Output(serializers.Serializer):
        """The text in pieces."""

        class Piece(serializers.Serializer):
            """A piece."""

            type = serializers.CharField(default="text")
            text = serializers.CharField()

        object = serializers.CharField(default="vector_store.file_content.page")
        data = Piece(many=True)  # type: ignore[assignment]  # the wire's name is also DRF's
        has_more = serializers.BooleanField()
        next_page = serializers.CharField(allow_null=True)

    @extend_schema(operation_id="get_vector_store_file_content", responses=Output)
    def get(self, request: Request, store_id: str, file_id: str) -> Response:
        """The parsed text of a file of a store, for callers who would find it."""
        pieces = attachments.text_of(**_ids(store_id, file_id), groups=caller_of(request).groups)
        data = [{"type": "text", "text": text} for text in pieces]
        return Response(
            {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
        )


def _ids(store_id: str, file_id: str) -> dict[str, Any]:
    return {"store_id": parse_public_id(STORE_PREFIX, store_id), "file_id": parse_public_id(FILE_PREFIX, file_id)}
