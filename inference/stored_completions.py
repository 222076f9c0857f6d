"""Chat completions that a client had stored (`store: true`): listed, read, described, deleted.

What is not stored cannot be retrieved, though its row is there until retention ends; what is stored goes with the
tenant's content retention too, and at once when it is deleted. An answer from documents is there for callers in all of
the groups by which it was made.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from tenants.audit import Actor, record
from tenants.errors import NotFound
from tenants.ids import public_id
from tenants.scope import tenant_scope

from .models import Generation

PREFIX = "chatcmpl-"
_SEARCHED = [{"type": "file_search"}]
#: What the object of a stored completion repeats of its request.
_REPEATED = (
    "tools", "tool_choice", "response_format", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed",
)  # fmt: skip


def stored_completions(
    *, sight: frozenset[str] | None, model: str | None = None, metadata: Mapping[str, str] | None = None
) -> QuerySet[Generation]:
    """Those that a caller may see; evaluate it inside the scope.

    Args:
        sight: the caller's groups; None: it is not limited to any.
        metadata: pairs that they must have.
    """
    rows = Generation.objects.filter(stored=True, state=Generation.State.COMPLETED, answer__isnull=False)
    if sight is not None:
        rows = rows.filter(~Q(request__contains={"tools": _SEARCHED}) | Q(terms__groups__contained_by=sorted(sight)))
    if model is not None:
        rows = rows.filter(alias=model)
    return rows.filter(metadata__contains=dict(metadata)) if metadata else rows


def get_completion(*, completion_id: UUID, sight: frozenset[str] | None) -> Generation:
    """A stored completion.

    Raises:
        NotFound: there is none that this caller may see.
    """
    with tenant_scope():
        row = stored_completions(sight=sight).filter(id=completion_id).first()
    if row is None:
        raise no_completion()
    return row


def no_completion() -> NotFound:
    """What a missing one answers, another tenant's, and one that is not stored."""
    return NotFound("No such chat completion. Those made with 'store: true' can be retrieved.")


def describe_completion(*, completion_id: UUID, sight: frozenset[str] | None, metadata: dict[str, str]) -> Generation:
    """Give a stored completion other metadata; raises like `get_completion`."""
    with tenant_scope():
        row = get_completion(completion_id=completion_id, sight=sight)
        row.metadata = metadata
        row.save(update_fields=["metadata"])
    return row


def delete_completion(*, completion_id: UUID, sight: frozenset[str] | None, by: Actor) -> None:
    """Erase what a stored completion asked and answered; that it was called and what it cost stays.

    Raises like `get_completion`.
    """
    with tenant_scope():
        row = get_completion(completion_id=completion_id, sight=sight)
        row.request = row.answer = row.found = row.metadata = None
        row.stored = False
        row.save(update_fields=["request", "answer", "found", "metadata", "stored"])
        record(by=by, action="chat_completion.deleted", target=row)


def completion_json(row: Generation) -> dict[str, Any]:
    """A stored completion as OpenAI shows one: the answer, its metadata, and parts of its request."""
    asked, answer = row.request or {}, row.answer or {}
    return {
        **answer,
        "metadata": row.metadata or {},
        **{name: asked.get(name) for name in _REPEATED},
        "input_user": asked.get("safety_identifier") or asked.get("user"),
        "request_id": row.id.hex,
    }


def messages_json(row: Generation) -> list[dict[str, Any]]:
    """The messages that a stored completion answered, each with an id of its own."""
    messages = (row.request or {}).get("messages") or []
    ident = public_id(PREFIX, row.id)
    return [_message_json(message, f"{ident}-{place}") for place, message in enumerate(messages)]


def _message_json(message: dict[str, Any], ident: str) -> dict[str, Any]:
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    text = "\n".join(part["text"] for part in parts if part.get("type") == "text") if parts is not None else content
    return {**message, "id": ident, "content": text, "content_parts": parts}
