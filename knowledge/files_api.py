"""`/v1/files`: upload or have fetched, list, read, delete."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.downloads import Download
from tenants.errors import InvalidRequest
from tenants.guarded_http import MAX_URL_LENGTH
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import files, tasks
from .models import File
from .sources.remote_files import shown_url

PREFIX = "file-"
_FORM_BYTES = 64 * 1024  # of a multipart body that are not the file


class FileObject(serializers.Serializer):
    """A file as clients see it; `source` (null where it was uploaded) and `replaced_by` are ours."""

    class Source(serializers.Serializer):
        """The URL a file is from, without its query, and what the server called the version that was fetched."""

        type = serializers.ChoiceField(choices=["url"])
        url = serializers.CharField()
        etag = serializers.CharField(allow_null=True)
        last_modified = serializers.CharField(allow_null=True)
        fetched_at = serializers.IntegerField(allow_null=True)
        fetching = serializers.BooleanField()

    id = serializers.CharField()
    object = serializers.CharField(default="file")
    bytes = serializers.IntegerField()
    created_at = serializers.IntegerField()
    expires_at = serializers.IntegerField(allow_null=True)
    filename = serializers.CharField()
    purpose = serializers.CharField()
    status = serializers.ChoiceField(choices=File.Status.choices)
    status_details = serializers.CharField(allow_null=True)
    source = Source(allow_null=True)  # type: ignore[assignment]  # the wire's name is also DRF's
    replaced_by = serializers.CharField(allow_null=True)


class Deleted(serializers.Serializer):
    """What was deleted."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


def file_json(file: File) -> dict[str, Any]:
    """A file in OpenAI's shape."""
    return {
        "id": public_id(PREFIX, file.id),
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": file.status_details or None,
        "source": _source_json(file) if file.source_url else None,
        "replaced_by": public_id(PREFIX, file.replaced_by_id) if file.replaced_by_id else None,
    }


def _source_json(file: File) -> dict[str, Any]:
    return {
        "type": "url",
        "url": shown_url(file.source_url),
        "etag": file.source_etag or None,
        "last_modified": file.source_modified or None,
        "fetched_at": int(file.fetched_at.timestamp()) if file.fetched_at else None,
        "fetching": file.fetch_id is not None,
    }


class FilesView(TenantAPIView):
    """All files."""

    scopes = {"GET": "files.read", "POST": "files.write"}
    parser_classes = [MultiPartParser, *APIView.parser_classes]

    class Input(serializers.Serializer):
        """The form of an upload."""

        file = serializers.FileField(allow_empty_file=True)
        purpose = serializers.ChoiceField(choices=files.PURPOSES)

    class FromUrl(serializers.Serializer):
        """A file to be fetched. Without a name, the server or the URL gives it one."""

        class ExpiresAfter(serializers.Serializer):
            """Its lifetime."""

            anchor = serializers.ChoiceField(choices=["created_at"])
            seconds = serializers.IntegerField()

        url = serializers.CharField(max_length=MAX_URL_LENGTH)
        purpose = serializers.ChoiceField(choices=files.PURPOSES)
        filename = serializers.CharField(required=False, allow_null=True, trim_whitespace=False)
        expires_after = ExpiresAfter(required=False, allow_null=True)

    @extend_schema(
        operation_id="create_file",
        request={"multipart/form-data": Input, "application/json": FromUrl},
        responses=FileObject,
    )
    def post(self, request: Request) -> Response:
        """Upload a file as a form, or send `{url, purpose}` as JSON to have it fetched.

        A form's `expires_after[anchor]=created_at` and `expires_after[seconds]` give a file a lifetime. A file from a
        URL is `uploaded` until it is fetched, then `processed`, or `error`: `status_details` says why.
        """
        if request.content_type.partition(";")[0].strip() == "application/json":
            return self._fetch(request)
        return self._upload(request)

    post.honours_idempotency_key = True  # type: ignore[attr-defined]  # of its JSON

    @idempotent()
    def _fetch(self, request: Request) -> Response:
        body = self.FromUrl(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        lifetime = values.get("expires_after")
        file = tasks.start_fetch(
            url=values["url"],
            purpose=values["purpose"],
            filename=values.get("filename"),
            by=caller_of(request).actor,
            now=datetime.now(UTC),
            lifetime=timedelta(seconds=lifetime["seconds"]) if lifetime else None,
        )
        return Response(file_json(file))

    def _upload(self, request: Request) -> Response:
        # Refused by its announced length, before the body is read.
        files.check_size(int(request.META.get("CONTENT_LENGTH") or 0) - _FORM_BYTES)
        form = self.Input(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data["file"]
        file = files.create_file(
            upload=files.Upload(filename=sent.name, content=sent.file, size=sent.size),
            purpose=form.validated_data["purpose"],
            by=caller_of(request).actor,
            now=datetime.now(UTC),
            lifetime=_lifetime(request.data),
        )
        return Response(file_json(file))

    @extend_schema(
        operation_id="list_files",
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order", "purpose")],
        responses=list_of(FileObject),
    )
    def get(self, request: Request) -> Response:
        """List files, the newest first."""
        with tenant_scope():
            rows = files.current_files(sight=caller_of(request).sight)
            if "purpose" in request.query_params:
                rows = rows.filter(purpose=request.query_params["purpose"].replace("\0", ""))
            return Response(page(rows, request, prefix=PREFIX, shape=file_json, max_limit=10_000))


def _lifetime(form: Any) -> timedelta | None:
    """The `expires_after` of a form, whose members multipart spells with brackets."""
    seconds = form.get("expires_after[seconds]")
    if seconds is None:
        return None
    if form.get("expires_after[anchor]") != "created_at":
        raise InvalidRequest("Invalid 'expires_after[anchor]': must be 'created_at'.", param="expires_after[anchor]")
    if not seconds.isascii() or not seconds.isdecimal() or len(seconds) > 9:
        raise InvalidRequest("Invalid 'expires_after[seconds]': must be a number.", param="expires_after[seconds]")
    return timedelta(seconds=int(seconds))


class FileView(TenantAPIView):
    """One file."""

    scopes = {"GET": "files.read", "DELETE": "files.write"}

    @extend_schema(operation_id="get_file", responses=FileObject)
    def get(self, request: Request, file_id: str) -> Response:
        """Retrieve a file."""
        file = files.get_file(file_id=parse_public_id(PREFIX, file_id), sight=caller_of(request).sight)
        return Response(file_json(file))

    @extend_schema(operation_id="delete_file", responses={200: Deleted})
    def delete(self, request: Request, file_id: str) -> Response:
        """Delete a file, with its chunks in every vector store."""
        caller = caller_of(request)
        file = tasks.delete_file(file_id=parse_public_id(PREFIX, file_id), by=caller.actor, sight=caller.sight)
        return Response({"id": public_id(PREFIX, file.id), "object": "file", "deleted": True})


class FileRefreshView(TenantAPIView):
    """A file from a URL, asked for again."""

    scopes = {"POST": "files.write"}

    @extend_schema(operation_id="refresh_file", request=None, responses=FileObject)
    @idempotent()
    def post(self, request: Request, file_id: str) -> Response:
        """Ask the URL of a file for a newer version, or, after an error, once more.

        Newer bytes change the file where no vector store has it. Otherwise they become a new file, which takes the
        place of this one in each store as soon as it is ingested there; this one is deleted when the last has switched,
        and names the new one in `replaced_by` until then.
        """
        caller = caller_of(request)
        file = tasks.start_refresh(file_id=parse_public_id(PREFIX, file_id), by=caller.actor, sight=caller.sight)
        return Response(file_json(file))


class AnyAccept(DefaultContentNegotiation):
    """Bytes are bytes: the SDK asks for `application/binary`, browsers for anything."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first, which shapes errors."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class FileContentView(TenantAPIView):
    """The bytes of a file."""

    content_negotiation_class = AnyAccept
    scopes = {"GET": "files.read"}

    @extend_schema(operation_id="get_file_content", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, file_id: str) -> Download:
        """Download a file."""
        file, content = files.open_content(file_id=parse_public_id(PREFIX, file_id), sight=caller_of(request).sight)
        return Download(content, filename=file.filename)
