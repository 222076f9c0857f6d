"""What `/v1/prompts` takes and answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers

from inference.metering import count_tokens
from inference.models import Prompt, PromptLabel, PromptLabelMove, PromptVersion
from tenants.ids import public_id

from .definition import Definition
from .library import MOVE_PREFIX, PREFIX, VERSION_PREFIX
from .references import Expanded

_FRAME_TOKENS = 4


class Author(serializers.Serializer):
    """Who did it: `api_key`, `user`, `staff`, `command`."""

    type = serializers.CharField()
    id = serializers.CharField()


class PromptObject(serializers.Serializer):
    """A prompt."""

    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    newest_version = serializers.IntegerField(help_text="0 where it has none yet.")
    labels = serializers.DictField(child=serializers.IntegerField(), help_text="Label → number of the version.")
    created_at = serializers.IntegerField()
    updated_at = serializers.IntegerField()


class PromptVersionObject(serializers.Serializer):
    """What a prompt says from a version on; it never changes."""

    id = serializers.CharField()
    object = serializers.CharField()
    prompt_id = serializers.CharField()
    version = serializers.IntegerField()
    messages = serializers.ListField(child=serializers.DictField())
    variables = serializers.DictField()
    defaults = serializers.DictField()
    note = serializers.CharField()
    created_by = Author()
    created_at = serializers.IntegerField()


class PromptLabelObject(serializers.Serializer):
    """Where a label points."""

    object = serializers.CharField()
    name = serializers.CharField()
    version = serializers.IntegerField()
    moved_at = serializers.IntegerField()


class PromptLabelMoveObject(serializers.Serializer):
    """A label that was set (`from_version` null), moved, or taken away (`to_version` null)."""

    id = serializers.CharField()
    object = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # "label" is a member of the answer
    from_version = serializers.IntegerField(allow_null=True)
    to_version = serializers.IntegerField(allow_null=True)
    moved_by = Author()
    moved_at = serializers.IntegerField()


class PromptLabels(serializers.Serializer):
    """All labels of a prompt; this list is not paged."""

    object = serializers.CharField()
    data = PromptLabelObject(many=True)  # type: ignore[assignment]  # "data" is a member of the answer


class DeletedPrompt(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class VersionFields(Definition):
    """A new version: messages with `{{placeholders}}`, their variables, defaults of the call, and labels to move to it."""

    note: str = ""
    labels: list[str] = []


class NewPrompt(serializers.Serializer):
    """A prompt, and its first version where `version` says what it is (as in `POST /v1/prompts/{id}/versions`)."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    version = serializers.DictField(required=False)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _author(kind: str, ident: str) -> dict[str, str]:
    return {"type": kind, "id": public_id("key_", UUID(ident)) if kind == "api_key" else ident}


def prompt_json(prompt: Prompt, labels: Mapping[str, int]) -> dict[str, Any]:
    """A prompt and its labels."""
    return {
        "id": public_id(PREFIX, prompt.id),
        "object": "prompt",
        "name": prompt.name,
        "description": prompt.description,
        "newest_version": prompt.newest,
        "labels": labels,
        "created_at": _seconds(prompt.created_at),
        "updated_at": _seconds(prompt.updated_at),
    }


def version_json(version: PromptVersion) -> dict[str, Any]:
    """A version."""
    return {
        "id": public_id(VERSION_PREFIX, version.id),
        "object": "prompt.version",
        "prompt_id": public_id(PREFIX, version.prompt_id),
        "version": version.number,
        "messages": version.definition["messages"],
        "variables": version.definition.get("variables", {}),
        "defaults": version.definition.get("defaults", {}),
        "note": version.note,
        "created_by": _author(version.created_by_type, version.created_by_id),
        "created_at": _seconds(version.created_at),
    }


def label_json(label: PromptLabel) -> dict[str, Any]:
    """A label, its version loaded."""
    return {
        "object": "prompt.label",
        "name": label.name,
        "version": label.version.number,
        "moved_at": _seconds(label.moved_at),
    }


def move_json(move: PromptLabelMove) -> dict[str, Any]:
    """A move."""
    return {
        "id": public_id(MOVE_PREFIX, move.id),
        "object": "prompt.label_move",
        "label": move.label,
        "from_version": move.from_number,
        "to_version": move.to_number,
        "moved_by": _author(move.by_type, move.by_id),
        "moved_at": _seconds(move.moved_at),
    }


def rendered_json(expanded: Expanded) -> dict[str, Any]:
    """A prompt with values, and its tokens."""
    return {
        "object": "prompt.rendered",
        "prompt_id": expanded.public_id,
        "version": expanded.number,
        "messages": expanded.messages,
        "defaults": expanded.defaults,
        "tokens": sum(count_tokens(_text_of(message["content"])) + _FRAME_TOKENS for message in expanded.messages),
    }


def _text_of(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
