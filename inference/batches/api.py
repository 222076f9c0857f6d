"""`/v1/batches`: create, list, get, cancel, as OpenAI has them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from knowledge.files_api import PREFIX as FILE_PREFIX
from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from ..models import Batch
from . import requests, tasks
from .driving import PREFIX

#: In OpenAI's order; each is the time of a change, or null.
_TIMES = (
    "created_at", "in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at",
    "cancelling_at", "cancelled_at",
)  # fmt: skip


class BatchObject(serializers.Serializer):
    """A batch as clients see it."""

    class Errors(serializers.Serializer):
        """What is wrong with its input file: the first hundred lines."""

        class BatchError(serializers.Serializer):
            """One of them."""

            code = serializers.CharField()
            line = serializers.IntegerField(allow_null=True)
            message = serializers.CharField()
            param = serializers.CharField(allow_null=True)

        object = serializers.CharField(default="list")
        data = BatchError(many=True)  # type: ignore[assignment]  # "data" is a member of the answer

    class RequestCounts(serializers.Serializer):
        """Lines; those `failed` stand in the error file."""

        total = serializers.IntegerField()
        completed = serializers.IntegerField()
        failed = serializers.IntegerField()

    class BatchUsage(serializers.Serializer):
        """Tokens of its answers."""

        class Cached(serializers.Serializer):
            """Of the input."""

            cached_tokens = serializers.IntegerField()

        class Reasoning(serializers.Serializer):
            """Of the output."""

            reasoning_tokens = serializers.IntegerField()

        input_tokens = serializers.IntegerField()
        input_tokens_details = Cached()
        output_tokens = serializers.IntegerField()
        output_tokens_details = Reasoning()
        total_tokens = serializers.IntegerField()

    id = serializers.CharField()
    object = serializers.CharField(default="batch")
    endpoint = serializers.CharField()
    model = serializers.CharField(allow_null=True)
    errors = Errors(allow_null=True)  # type: ignore[assignment]  # the wire's name is also DRF's
    input_file_id = serializers.CharField()
    completion_window = serializers.CharField()
    status = serializers.ChoiceField(choices=Batch.State.values)
    output_file_id = serializers.CharField(allow_null=True)
    error_file_id = serializers.CharField(allow_null=True)
    created_at = serializers.IntegerField()
    in_progress_at = serializers.IntegerField(allow_null=True)
    expires_at = serializers.IntegerField()
    finalizing_at = serializers.IntegerField(allow_null=True)
    completed_at = serializers.IntegerField(allow_null=True)
    failed_at = serializers.IntegerField(allow_null=True)
    expired_at = serializers.IntegerField(allow_null=True)
    cancelling_at = serializers.IntegerField(allow_null=True)
    cancelled_at = serializers.IntegerField(allow_null=True)
    request_counts = RequestCounts()
    usage = BatchUsage(allow_null=True)
    metadata = serializers.DictField(allow_null=True)


def batch_json(batch: Batch) -> dict[str, Any]:
    """A batch in OpenAI's shape."""
    times = {name: getattr(batch, name) for name in _TIMES}
    return {
        "id": public_id(PREFIX, batch.id),
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model or None,
        "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        "input_file_id": public_id(FILE_PREFIX, batch.input_file_id),
        "completion_window": "24h",
        "status": batch.state,
        "output_file_id": public_id(FILE_PREFIX, batch.output_file_id) if batch.output_file_id else None,
        "error_file_id": public_id(FILE_PREFIX, batch.error_file_id) if batch.error_file_id else None,
        **{name: int(time.timestamp()) if time else None for name, time in times.items()},
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": batch.usage,
        "metadata": batch.metadata,
    }


class BatchesView(TenantAPIView):
    """All batches."""

    scopes = {"GET": "inference", "POST": "inference"}

    class Create(serializers.Serializer):
        """What to call, with which file of lines."""

        class OutputExpiresAfter(serializers.Serializer):
            """How long the output files are kept."""

            anchor = serializers.ChoiceField(choices=["created_at"])
            seconds = serializers.IntegerField()

        input_file_id = serializers.CharField()
        endpoint = serializers.ChoiceField(choices=requests.ENDPOINTS)
        completion_window = serializers.ChoiceField(choices=["24h"])
        metadata = serializers.DictField(required=False, allow_null=True)
        output_expires_after = OutputExpiresAfter(required=False, allow_null=True)

    @extend_schema(
        operation_id="create_batch", summary="Create a batch", tags=["batches"], request=Create, responses=BatchObject
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        """Answer a file of calls within a day. Upload the file with the purpose `batch`: up to 50,000 lines of JSON,
        each `{custom_id, method: "POST", url, body}` with the batch's endpoint as its url.

        Lines are called when nobody waits for an answer of the same workers; no rate limits count them, budgets do, at
        the price of any call. Needs the scopes `inference` and `files.read`.
        """
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        lifetime = values.get("output_expires_after")
        batch = tasks.start_batch(
            input_file_id=parse_public_id(FILE_PREFIX, values["input_file_id"]),
            endpoint=values["endpoint"],
            caller=caller_of(request),
            now=datetime.now(UTC),
            metadata=values.get("metadata"),
            output_lifetime=timedelta(seconds=lifetime["seconds"]) if lifetime else None,
        )
        return Response(batch_json(batch))

    @extend_schema(
        operation_id="list_batches",
        summary="List batches",
        tags=["batches"],
        parameters=[OpenApiParameter(name) for name in ("after", "before", "limit", "order")],
        responses=list_of(BatchObject),
    )
    def get(self, request: Request) -> Response:
        """List batches, the newest first."""
        with tenant_scope():
            rows = requests.batches(sight=caller_of(request).sight)
            return Response(page(rows, request, prefix=PREFIX, shape=batch_json))


class BatchView(TenantAPIView):
    """One batch."""

    scopes = {"GET": "inference"}

    @extend_schema(operation_id="get_batch", summary="Retrieve a batch", tags=["batches"], responses=BatchObject)
    def get(self, request: Request, job_id: str) -> Response:
        """Retrieve a batch."""
        batch = requests.get_batch(batch_id=parse_public_id(PREFIX, job_id), sight=caller_of(request).sight)
        return Response(batch_json(batch))


class BatchCancelView(TenantAPIView):
    """The end of a batch."""

    scopes = {"POST": "inference"}

    @extend_schema(
        operation_id="cancel_batch", summary="Cancel a batch", tags=["batches"], request=None, responses=BatchObject
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Cancel a batch: calls under way end, the rest is dropped, and what was answered is written."""
        batch = tasks.cancel_batch(
            batch_id=parse_public_id(PREFIX, job_id), caller=caller_of(request), now=datetime.now(UTC)
        )
        return Response(batch_json(batch))
