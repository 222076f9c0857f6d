"""`/v1/feedback`: what people say of answers, and datasets made of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from inference.models import Feedback, PromptVersion
from inference.prompts.library import PREFIX as PROMPT_PREFIX
from inference.prompts.library import VERSION_PREFIX
from knowledge.files_api import AnyAccept
from tenants.api_keys import Caller
from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.downloads import in_threads
from tenants.errors import InvalidRequest, NotFound, PermissionDenied
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import acting_for, tenant_scope

from . import datasets, giving
from .giving import PREFIX, answer_id_of

READ, WRITE = "feedback.read", "feedback.write"
_LATEST = 253_402_300_799


class Correction(serializers.Serializer):
    """The assistant message that would have been better."""

    role = serializers.ChoiceField(["assistant"], required=False)
    content = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, max_length=200_000
    )
    tool_calls = serializers.ListField(child=serializers.DictField(), required=False, max_length=128)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """A text alone is its content."""
        given = super().to_internal_value({"content": data} if isinstance(data, str) else data)
        if not given.get("content") and not given.get("tool_calls"):
            raise serializers.ValidationError("needs 'content' or 'tool_calls'.")
        return {"role": "assistant", **{name: value for name, value in given.items() if value}}


class FeedbackObject(serializers.Serializer):
    """What one rater said of one answer."""

    id = serializers.CharField()
    object = serializers.CharField()
    response_id = serializers.CharField(help_text="Of the chat completion or response.")
    choice = serializers.IntegerField()
    rating = serializers.IntegerField(allow_null=True)
    correction = Correction(allow_null=True)
    comment = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    user = serializers.CharField(allow_null=True)
    model = serializers.CharField()
    prompt_version_id = serializers.CharField(allow_null=True)
    created_at = serializers.IntegerField()
    updated_at = serializers.IntegerField()


class FeedbackDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class FeedbackErased(serializers.Serializer):
    """What erasing an end user's feedback answers."""

    object = serializers.CharField()
    deleted = serializers.IntegerField(help_text="How much there was.")


class Period(serializers.Serializer):
    """When feedback was first given, in Unix seconds; the end is left out."""

    start_time = serializers.IntegerField(required=False, min_value=0, max_value=_LATEST)
    end_time = serializers.IntegerField(required=False, min_value=0, max_value=_LATEST)


class Wanted(Period):
    """Which feedback to list."""

    response_id = serializers.CharField(required=False, max_length=100)
    rating = serializers.ChoiceField([-1, 0, 1], required=False)
    # Without null, a query that does not name it would mean false.
    corrected = serializers.BooleanField(required=False, allow_null=True, help_text="Whether it has a correction.")
    model = serializers.CharField(required=False, max_length=200)
    tag = serializers.CharField(required=False, max_length=64)
    user = serializers.CharField(required=False, max_length=200)
    prompt_id = serializers.CharField(required=False, max_length=100)


class Erasure(serializers.Serializer):
    """Whose feedback to erase."""

    user = serializers.CharField(max_length=200)


class Export(Period):
    """Which dataset to make."""

    format = serializers.ChoiceField(
        sorted(datasets.FORMS),
        default="chat",
        help_text="`chat`: messages for supervised fine-tuning, corrected answers and those rated 1. `preference`: a corrected "
        "answer before the one that was given. `evaluation`: all of it.",
    )


class FeedbackListView(TenantAPIView):
    """All feedback of the tenant."""

    scopes = {"GET": READ, "POST": WRITE, "DELETE": WRITE}

    class Given(serializers.Serializer):
        """What a rater says; members that are left out stay as they were."""

        response_id = serializers.CharField(max_length=100, help_text="Of a chat completion or a response.")
        choice = serializers.IntegerField(default=0, min_value=0, max_value=127, help_text="Which of `n` answers.")
        rating = serializers.ChoiceField(
            [-1, 0, 1], required=False, allow_null=True, help_text="-1 thumbs down, 1 thumbs up, 0 neither."
        )
        correction = Correction(required=False, allow_null=True)
        comment = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
        tags = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
        user = serializers.CharField(
            required=False,
            allow_null=True,
            max_length=200,
            help_text="The end user who says it; without one, the API key. A signed end user goes before it.",
        )

    @extend_schema(
        operation_id="list_feedback",
        parameters=[Wanted, *(OpenApiParameter(name) for name in ("after", "before", "limit", "order"))],
        responses=list_of(FeedbackObject),
    )
    def get(self, request: Request) -> Response:
        """List feedback, the newest first. A caller that is limited to groups sees its own."""
        wanted = Wanted(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        with tenant_scope():
            rows = _seen(Feedback.objects.filter(_condition(wanted.validated_data)), caller_of(request))
            return Response(page(rows, request, prefix=PREFIX, shape=_shape))

    @extend_schema(operation_id="give_feedback", request=Given, responses={200: FeedbackObject, 201: FeedbackObject})
    @idempotent()
    def post(self, request: Request) -> Response:
        """Rate, correct or comment on a chat completion or a response. The same rater's next view changes the one before."""
        body = self.Given(data=request.data)
        body.is_valid(raise_exception=True)
        said, caller = dict(body.validated_data), caller_of(request)
        if "tags" in said:
            said["tags"] = giving.check_tags(said["tags"])
        row, created = giving.give(
            answer_id=said.pop("response_id"),
            choice=said.pop("choice"),
            end_user=_rater(caller, said.pop("user", None)),
            key_id=caller.key_id,
            said=said,
            now=datetime.now(UTC),
        )
        return Response(_shape(row), status=status.HTTP_201_CREATED if created else status.HTTP_200_OK)

    @extend_schema(operation_id="erase_feedback", parameters=[Erasure], responses={200: FeedbackErased})
    def delete(self, request: Request) -> Response:
        """Erase all feedback of an end user (`?user=`)."""
        _refuse_limited(caller_of(request))
        asked = Erasure(data=request.query_params)
        asked.is_valid(raise_exception=True)
        count = giving.erase_end_user(end_user=asked.validated_data["user"], by=caller_of(request).actor)
        return Response({"object": "feedback.erased", "deleted": count})


class FeedbackView(TenantAPIView):
    """One rater's feedback on one answer."""

    scopes = {"GET": READ, "DELETE": WRITE}

    @extend_schema(operation_id="get_feedback", responses=FeedbackObject)
    def get(self, request: Request, feedback_id: str) -> Response:
        """Retrieve feedback."""
        return Response(_shape(_found(request, feedback_id)))

    @extend_schema(operation_id="delete_feedback", responses={200: FeedbackDeleted})
    def delete(self, request: Request, feedback_id: str) -> Response:
        """Delete feedback; the answer stays."""
        row = _found(request, feedback_id)
        giving.delete_feedback(row=row, by=caller_of(request).actor)
        return Response({"id": feedback_id, "object": "feedback.deleted", "deleted": True})


class FeedbackExportView(TenantAPIView):
    """Datasets made of feedback."""

    scopes = {"GET": READ}
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="export_feedback",
        parameters=[Export],
        responses={(200, "application/jsonl"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """A dataset as JSON lines, streamed: feedback of a period whose exchange is still kept."""
        caller = caller_of(request)
        _refuse_limited(caller)
        asked = Export(data=request.query_params)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        period = {"since": _moment(given.get("start_time")), "until": _moment(given.get("end_time"))}
        batches = _batches(caller.tenant_id, form=given["format"], **period)
        # A sync iterator would be collected whole under ASGI before its first byte was sent.
        streamed = isinstance(request._request, ASGIRequest)
        content: Any = in_threads(batches) if streamed else batches
        disposition = f'attachment; filename="feedback-{given["format"]}.jsonl"'
        return StreamingHttpResponse(
            content, content_type="application/jsonl", headers={"content-disposition": disposition}
        )


def _batches(tenant_id: UUID, **wanted: Any) -> Iterator[bytes]:
    """The edge ends before the stream does, so each batch says again for whom it is made."""
    after: UUID | None = None
    while True:
        with acting_for(tenant_id):
            text, after = datasets.lines(**wanted, after=after)
        yield text
        if after is None:
            return


def _condition(wanted: dict[str, Any]) -> Q:
    condition = Q()
    if "response_id" in wanted:
        ident, kind = giving.answers(wanted["response_id"])
        condition &= Q(generation_id=ident, kind=kind)
    for name, field in (("rating", "rating"), ("model", "alias"), ("user", "end_user")):
        if name in wanted:
            condition &= Q(**{field: wanted[name]})
    if "tag" in wanted:
        condition &= Q(tags__contains=[wanted["tag"]])
    if wanted.get("corrected") is not None:
        condition &= Q(correction__isnull=not wanted["corrected"])
    if "prompt_id" in wanted:
        prompt_id = parse_public_id(PROMPT_PREFIX, wanted["prompt_id"])
        versions = PromptVersion.objects.filter(prompt_id=prompt_id) if prompt_id else PromptVersion.objects.none()
        condition &= Q(prompt_version_id__in=versions.values("id"))
    if "start_time" in wanted:
        condition &= Q(created_at__gte=_moment(wanted["start_time"]))
    if "end_time" in wanted:
        condition &= Q(created_at__lt=_moment(wanted["end_time"]))
    return condition


def _rater(caller: Caller, named: str | None) -> str:
    """A signed end user speaks for itself and nobody else.

    Raises:
        InvalidRequest: it names another.
    """
    if caller.end_user is not None and named not in (None, "", caller.end_user):
        raise InvalidRequest("'user' is not the signed end user.", param="user")
    return caller.end_user or named or ""


def _seen(rows: QuerySet[Feedback], caller: Caller) -> QuerySet[Feedback]:
    """Comments and corrections may tell of documents; a limited caller sees what it said itself."""
    if not caller.limited:
        return rows
    rater = f"user:{caller.end_user}" if caller.end_user else f"key:{caller.key_id.hex}"
    return rows.filter(rater=rater)


def _found(request: Request, text: str) -> Feedback:
    ident = parse_public_id(PREFIX, text)
    with tenant_scope():
        row = _seen(Feedback.objects.filter(id=ident), caller_of(request)).first() if ident else None
    if row is None:
        raise NotFound("No such feedback.")
    return row


def _refuse_limited(caller: Caller) -> None:
    if caller.limited:
        raise PermissionDenied("A caller that is limited to groups cannot do this for the whole tenant.")


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _shape(row: Feedback) -> dict[str, Any]:
    version = row.prompt_version_id
    return {
        "id": public_id(PREFIX, row.id),
        "object": "feedback",
        "response_id": answer_id_of(row),
        "choice": row.choice,
        "rating": row.rating,
        "correction": row.correction,
        "comment": row.comment,
        "tags": row.tags,
        "user": row.end_user or None,
        "model": row.alias,
        "prompt_version_id": public_id(VERSION_PREFIX, version) if version else None,
        "created_at": int(row.created_at.timestamp()),
        "updated_at": int(row.updated_at.timestamp()),
    }
