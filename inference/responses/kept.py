"""Responses that are kept: retrieved, deleted, cancelled, and what their input was.

A response whose contents are gone (deleted, not to be stored, past the tenant's content retention) answers like one
that never was.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from tenants.audit import Actor
from tenants.audit import record as write_audit
from tenants.errors import AtriumError, InvalidRequest
from tenants.idempotency import StillInFlight
from tenants.ids import parse_public_id
from tenants.models import IdempotencyRecord, Work
from tenants.scope import acting_for, tenant_scope

from .. import generations
from ..models import Generation
from .conversations import bring_in_of
from .history import RESPONSE, Sight, groups_of, no_response
from .items import Item, item_id, shown
from .objects import PREFIX, response_json
from .requests import ResponseRequest

UNDER_WAY = (Generation.State.QUEUED, Generation.State.RUNNING)


class StillUnderWay(AtriumError):
    """The response is being made."""

    status = 409
    type = "invalid_request_error"
    code = "response_in_progress"


def find(text: str, *, sight: Sight) -> Generation:
    """A kept response that the caller may see; inside a scope.

    Raises:
        NotFound: there is none.
    """
    ident = parse_public_id(PREFIX, text)
    row = Generation.objects.filter(id=ident, kind=RESPONSE).first() if ident else None
    if row is None or row.request is None or row.request.get("store") is False:
        raise no_response(text)
    if not sight.reaches(groups_of(row.request, row.terms)):
        raise no_response(text)
    return row


def retrieve(text: str, *, sight: Sight) -> dict[str, Any]:
    """The `Response` object as it is now; raises like `find`."""
    with tenant_scope():
        return shape(find(text, sight=sight))


def shape(row: Generation) -> dict[str, Any]:
    """A row as the `Response` object; inside a scope."""
    if row.answer is not None:
        return row.answer
    status = row.state
    if status in UNDER_WAY:
        running = Work.objects.filter(id=row.id, state=Work.State.RUNNING).exists()
        status = "in_progress" if running else "queued"
    return response_json(
        ResponseRequest.model_validate(row.request),
        id=row.id,
        created=int(row.created_at.timestamp()),
        status=status,
        error=row.error,
    )


def queued(request: ResponseRequest, *, id: UUID, now: datetime) -> dict[str, Any]:
    """What a response in the background answers at once."""
    return response_json(request, id=id, created=int(now.timestamp()), status="queued")


def replay(*, tenant_id: UUID, key_id: UUID, idempotency_key: str, fingerprint: str) -> dict[str, Any]:
    """The first answer to an idempotency key; of a response in the background the object as it is now.

    Raises like `generations.replay`.
    """
    try:
        return generations.replay(
            tenant_id=tenant_id, key_id=key_id, idempotency_key=idempotency_key, fingerprint=fingerprint
        )
    except StillInFlight:
        with acting_for(tenant_id), tenant_scope():
            record = IdempotencyRecord.objects.filter(caller=str(key_id), key=idempotency_key).first()
            ident = record.generation_id if record else None
            row = Generation.objects.filter(id=ident).first() if ident else None
            if row is None or not (row.request or {}).get("background"):
                raise
            return shape(row)


def delete(text: str, *, sight: Sight, by: Actor, now: datetime) -> Generation:
    """Erase the contents of a response, which is returned as it was; its cost and its place in the lists of calls stay.

    Raises:
        NotFound: there is none.
        StillUnderWay: it is being made.
    """
    with tenant_scope():
        row = find(text, sight=sight)
        if row.state in UNDER_WAY:
            raise StillUnderWay(
                "The response is still in progress. Cancel it, or wait for its end.", headers={"retry-after": "1"}
            )
        bring_in_of(row, now=now)
        Generation.objects.filter(id=row.id).update(request=None, answer=None, found=None)
        write_audit(by=by, action="response.deleted", target=row)
    return row


def cancel(text: str, *, sight: Sight, stop: Callable[[Generation], None]) -> dict[str, Any]:
    """Stop a response that is made in the background; one that has ended stays as it is.

    Args:
        stop: ends one that is under way; called outside any scope.

    Raises:
        NotFound: there is none.
        InvalidRequest: it is not made in the background.
    """
    with tenant_scope():
        row = find(text, sight=sight)
    if not (row.request or {}).get("background"):
        raise InvalidRequest("Cannot cancel a synchronous response. Only background responses can be cancelled.")
    if row.state in UNDER_WAY:
        stop(row)
    return retrieve(text, sight=sight)


def input_items(text: str, *, sight: Sight) -> list[Item]:
    """The items of a response's input, each with its id, in their order; raises like `find`."""
    with tenant_scope():
        row = find(text, sight=sight)
    items = enumerate((row.request or {})["input"])
    return [shown(item, item_id(row.id, place)) for place, item in items if item["type"] != "item_reference"]
