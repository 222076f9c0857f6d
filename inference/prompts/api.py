"""`/v1/prompts`: prompts, their versions and labels, and a try without a call."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from inference.models import Prompt, PromptLabel, PromptLabelMove, PromptVersion
from inference.requests import parse
from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from . import library
from .definition import Definition
from .library import MOVE_PREFIX, PREFIX, VERSION_PREFIX, PromptNotFound
from .references import Reference, expand
from .shapes import (
    DeletedPrompt,
    NewPrompt,
    PromptLabelMoveObject,
    PromptLabelObject,
    PromptLabels,
    PromptObject,
    PromptVersionObject,
    VersionFields,
    label_json,
    move_json,
    prompt_json,
    rendered_json,
    version_json,
)

READ, WRITE = "prompts.read", "prompts.write"
_PAGING = [OpenApiParameter(name) for name in ("after", "before", "limit", "order")]


class PromptsView(TenantAPIView):
    """The tenant's prompts."""

    scopes = {"GET": READ, "POST": WRITE}

    @extend_schema(operation_id="list_prompts", parameters=_PAGING, responses=list_of(PromptObject))
    def get(self, request: Request) -> Response:
        """List prompts, the newest first."""
        with tenant_scope():
            rows = Prompt.objects.filter(deleted_at__isnull=True)
            found = page(rows, request, prefix=PREFIX, shape=lambda row: {"id": public_id(PREFIX, row.id), "row": row})
            prompts = [item["row"] for item in found["data"]]
            labels = library.labels_of(prompts)
        return Response({**found, "data": [prompt_json(row, labels[row.id]) for row in prompts]})

    @extend_schema(operation_id="create_prompt", request=NewPrompt, responses={201: PromptObject})
    @idempotent()
    def post(self, request: Request) -> Response:
        """Create a prompt."""
        body = NewPrompt(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        first = _version_fields(values.pop("version"), prefix="version.") if "version" in values else {}
        prompt = library.create_prompt(**values, **first, by=caller_of(request).actor, now=datetime.now(UTC))
        return Response(_labelled(prompt), status=status.HTTP_201_CREATED)


class PromptView(TenantAPIView):
    """One prompt."""

    scopes = {"GET": READ, "POST": WRITE, "DELETE": WRITE}

    class Update(serializers.Serializer):
        """What can be changed; what a prompt says is a new version."""

        name = serializers.CharField(max_length=200, required=False)
        description = serializers.CharField(max_length=2000, required=False, allow_blank=True)

    @extend_schema(operation_id="get_prompt", responses=PromptObject)
    def get(self, request: Request, prompt_id: str) -> Response:
        """Retrieve a prompt."""
        return Response(_labelled(library.get_prompt(prompt_id=_parsed(prompt_id))))

    @extend_schema(operation_id="update_prompt", request=Update, responses=PromptObject)
    def post(self, request: Request, prompt_id: str) -> Response:
        """Change a prompt's name or description."""
        body = self.Update(data=request.data)
        body.is_valid(raise_exception=True)
        prompt = library.update_prompt(
            prompt_id=_parsed(prompt_id),
            changes=dict(body.validated_data),
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        return Response(_labelled(prompt))

    @extend_schema(operation_id="delete_prompt", responses={200: DeletedPrompt})
    def delete(self, request: Request, prompt_id: str) -> Response:
        """Delete a prompt; refused (409 `prompt_in_use`) while labels point at it."""
        library.delete_prompt(prompt_id=_parsed(prompt_id), by=caller_of(request).actor, now=datetime.now(UTC))
        return Response({"id": prompt_id, "object": "prompt.deleted", "deleted": True})


class PromptVersionsView(TenantAPIView):
    """The versions of a prompt."""

    scopes = {"GET": READ, "POST": WRITE}

    @extend_schema(operation_id="list_prompt_versions", parameters=_PAGING, responses=list_of(PromptVersionObject))
    def get(self, request: Request, prompt_id: str) -> Response:
        """List a prompt's versions, the newest first."""
        with tenant_scope():
            prompt = library.get_prompt(prompt_id=_parsed(prompt_id))
            rows = PromptVersion.objects.filter(prompt=prompt)
            return Response(page(rows, request, prefix=VERSION_PREFIX, shape=version_json))

    @extend_schema(operation_id="create_prompt_version", request=VersionFields, responses={201: PromptVersionObject})
    @idempotent()
    def post(self, request: Request, prompt_id: str) -> Response:
        """Add a version; `labels` are moved to it in the same step."""
        version = library.add_version(
            prompt_id=_parsed(prompt_id),
            **_version_fields(request.data),
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        return Response(version_json(version), status=status.HTTP_201_CREATED)


class PromptVersionView(TenantAPIView):
    """One version of a prompt."""

    scopes = {"GET": READ}

    @extend_schema(operation_id="get_prompt_version", responses=PromptVersionObject)
    def get(self, request: Request, prompt_id: str, version_id: str) -> Response:
        """Retrieve a version by its number or a label."""
        return Response(version_json(library.get_version(prompt_id=_parsed(prompt_id), version=version_id)))


class PromptLabelsView(TenantAPIView):
    """The labels of a prompt."""

    scopes = {"GET": READ}

    @extend_schema(operation_id="list_prompt_labels", responses=PromptLabels)
    def get(self, request: Request, prompt_id: str) -> Response:
        """List a prompt's labels, by name."""
        with tenant_scope():
            prompt = library.get_prompt(prompt_id=_parsed(prompt_id))
            rows = list(PromptLabel.objects.select_related("version").filter(prompt=prompt).order_by("name"))
        return Response({"object": "list", "data": [label_json(row) for row in rows]})


class PromptLabelView(TenantAPIView):
    """One label of a prompt."""

    scopes = {"GET": READ, "PUT": WRITE, "DELETE": WRITE}

    class Target(serializers.Serializer):
        """The version that the label is to point at."""

        version = serializers.IntegerField(min_value=1, max_value=2_147_483_647)

    @extend_schema(operation_id="get_prompt_label", responses=PromptLabelObject)
    def get(self, request: Request, prompt_id: str, label_id: str) -> Response:
        """Retrieve a label."""
        return Response(label_json(library.get_label(prompt_id=_parsed(prompt_id), label=label_id)))

    @extend_schema(operation_id="set_prompt_label", request=Target, responses=PromptLabelObject)
    def put(self, request: Request, prompt_id: str, label_id: str) -> Response:
        """Point a label at a version: rolls it out, or back. Calls follow within five seconds."""
        body = self.Target(data=request.data)
        body.is_valid(raise_exception=True)
        row = library.set_label(
            prompt_id=_parsed(prompt_id),
            label=label_id,
            number=body.validated_data["version"],
            by=caller_of(request).actor,
            now=datetime.now(UTC),
        )
        return Response(label_json(row))

    @extend_schema(operation_id="delete_prompt_label", responses={200: DeletedPrompt})
    def delete(self, request: Request, prompt_id: str, label_id: str) -> Response:
        """Take a label away; calls that name it are refused within five seconds."""
        library.remove_label(
            prompt_id=_parsed(prompt_id), label=label_id, by=caller_of(request).actor, now=datetime.now(UTC)
        )
        return Response({"id": label_id, "object": "prompt.label.deleted", "deleted": True})


class PromptLabelMovesView(TenantAPIView):
    """Who moved which label of a prompt, and when."""

    scopes = {"GET": READ}

    @extend_schema(operation_id="list_prompt_label_moves", parameters=_PAGING, responses=list_of(PromptLabelMoveObject))
    def get(self, request: Request, prompt_id: str) -> Response:
        """List the moves of a prompt's labels, the newest first."""
        with tenant_scope():
            prompt = library.get_prompt(prompt_id=_parsed(prompt_id))
            return Response(
                page(PromptLabelMove.objects.filter(prompt=prompt), request, prefix=MOVE_PREFIX, shape=move_json)
            )


class PromptRenderView(TenantAPIView):
    """A prompt with values, without a call."""

    scopes = {"POST": READ}

    class Rendering(serializers.Serializer):
        """The version (number or label; `production` if left out) and the values of its variables."""

        version = serializers.CharField(max_length=64, required=False, allow_null=True)
        variables = serializers.DictField(required=False, allow_null=True)

    class Rendered(serializers.Serializer):
        """What a call with these values would begin with."""

        object = serializers.CharField()
        prompt_id = serializers.CharField()
        version = serializers.IntegerField()
        messages = serializers.ListField(child=serializers.DictField())
        defaults = serializers.DictField()
        tokens = serializers.IntegerField(
            help_text="Of the text, by MiniLM's vocabulary: an estimate for other models."
        )

    @extend_schema(operation_id="render_prompt", request=Rendering, responses=Rendered)
    def post(self, request: Request, prompt_id: str) -> Response:
        """Try a prompt: its messages with these values and their number of tokens. No model is called."""
        body = self.Rendering(data=request.data)
        body.is_valid(raise_exception=True)
        reference = Reference.read({**body.validated_data, "id": prompt_id})
        expanded = expand(reference, now=time.monotonic())
        return Response(rendered_json(expanded))


def _version_fields(data: Any, *, prefix: str = "") -> dict[str, Any]:
    """`definition`, `note` and `labels` of a request for a version."""
    fields = parse(VersionFields, data, prefix=prefix)
    if len(fields.note) > 500:
        raise InvalidRequest("A note has at most 500 characters.", param=f"{prefix}note")
    return {
        "definition": Definition.model_validate(fields.model_dump(exclude={"note", "labels"}, exclude_none=True)),
        "note": fields.note,
        "labels": fields.labels,
    }


def _parsed(text: str) -> UUID:
    prompt_id = parse_public_id(PREFIX, text)
    if prompt_id is None:
        raise PromptNotFound("No such prompt.")
    return prompt_id


def _labelled(prompt: Prompt) -> dict[str, Any]:
    with tenant_scope():
        return prompt_json(prompt, library.labels_of([prompt])[prompt.id])
