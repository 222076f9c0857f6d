"""Feedback is given, changed and erased. Each rater has one view of an answer's choice; giving again changes it.

Feedback carries its rater and its times and is not audited when given, for it comes from an app's end users by the
thousand; what erases it is.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest

from inference.models import Feedback, Generation
from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import parse_public_id, public_id
from tenants.models import Tenant
from tenants.scope import tenant_scope

#: What ids of answers begin with, and the kind of generation that they mean.
KINDS = {"chatcmpl-": "chat", "resp_": "response"}
_PREFIXES = {kind: prefix for prefix, kind in KINDS.items()}
PREFIX = "fb_"
_MOST_TAGS, _TAG_LENGTH = 20, 64


class AnswerNotEnded(AtriumError):
    """The answer is still being made, so nobody can have read it."""

    status = 409
    type = "invalid_request_error"
    code = "answer_not_ended"


def give(
    *, answer_id: str, choice: int, end_user: str, key_id: UUID, said: Mapping[str, Any], now: datetime
) -> tuple[Feedback, bool]:
    """What a rater says of an answer; members of `said` that are missing stay as they were. True: it is the first time.

    Args:
        answer_id: of a chat completion or a response.
        end_user: the rater; where it is empty, the API key is.
        said: `rating` (-1, 0, 1 or None), `correction` (an assistant message or None), `comment`, `tags`.

    Raises:
        NotFound: no such answer.
        AnswerNotEnded: it is under way.
        InvalidRequest: no such choice, or nothing said.
    """
    with tenant_scope() as tenant_id:
        answer = _answer(answer_id)
        _check_choice(answer, choice)
        rater = f"user:{end_user}" if end_user else f"key:{key_id.hex}"
        place = {"generation_id": answer.id, "choice": choice, "rater": rater}
        about = {
            "kind": answer.kind,
            "end_user": end_user,
            "alias": answer.alias,
            "prompt_version_id": answer.prompt_version_id,
            "answered_at": answer.created_at,
        }
        row, created = Feedback.objects.update_or_create(
            tenant_id=tenant_id,
            **place,
            defaults={**said, "updated_at": now},
            create_defaults={**said, **about, "created_at": now, "updated_at": now},
        )
        if row.rating is None and row.correction is None and not row.comment and not row.tags:
            raise InvalidRequest("Give a 'rating', a 'correction', a 'comment' or 'tags'.", param="rating")
        _keep_exchange(answer, tenant_id)
    return row, created


def answer_id_of(row: Feedback) -> str:
    """The id of the answer as clients know it."""
    return public_id(_PREFIXES[row.kind], row.generation_id)


def delete_feedback(*, row: Feedback, by: Actor) -> None:
    """Delete one rater's view of one answer."""
    with tenant_scope():
        record(by=by, action="feedback.deleted", target=row)
        row.delete()


def erase_end_user(*, end_user: str, by: Actor) -> int:
    """Delete all feedback of an end user, for whom the tenant must forget it. Returns how much there was."""
    with tenant_scope() as tenant_id:
        count, _ = Feedback.objects.filter(end_user=end_user).delete()
        record(
            by=by,
            action="feedback.erased",
            target=Tenant(id=tenant_id),
            # Not the end user: the log outlives what is erased.
            changes={"rows": count},
        )
    return count


def answers(text: str) -> tuple[UUID | None, str]:
    """(id, kind) of the generation that an answer's id means; None where it cannot be one."""
    for prefix, kind in KINDS.items():
        ident = parse_public_id(prefix, text)
        if ident is not None:
            return ident, kind
    return None, ""


def check_tags(tags: list[str]) -> list[str]:
    """Tags without repetitions.

    Raises:
        InvalidRequest: too many, or one that is empty or too long.
    """
    if len(tags) > _MOST_TAGS or not all(0 < len(tag) <= _TAG_LENGTH for tag in tags):
        raise InvalidRequest(f"Give at most {_MOST_TAGS} tags of 1 to {_TAG_LENGTH} characters.", param="tags")
    return list(dict.fromkeys(tags))


def _answer(text: str) -> Generation:
    ident, kind = answers(text)
    row = Generation.objects.filter(id=ident, kind=kind).first() if ident else None
    if row is None:
        raise NotFound(f"No answer '{text[:64]}'.", param="response_id")
    if row.state in (Generation.State.QUEUED, Generation.State.RUNNING):
        raise AnswerNotEnded("The answer is still being made.", headers={"retry-after": "1"})
    return row


def _check_choice(answer: Generation, choice: int) -> None:
    choices = (answer.answer or {}).get("choices")
    if choices is not None and choice >= len(choices):
        raise InvalidRequest(f"The answer has {len(choices)} choice(s), counted from 0.", param="choice")


def _keep_exchange(answer: Generation, tenant_id: UUID) -> None:
    """As long as the tenant keeps exchanges with feedback, where that is longer."""
    days = Tenant.objects.values_list("feedback_retention_days", flat=True).get(id=tenant_id)
    if days is None or answer.request is None:
        return
    until = Greatest(F("contents_until"), F("finished_at") + timedelta(days=days))
    Generation.objects.filter(id=answer.id).update(contents_until=until)
