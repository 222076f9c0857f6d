"""The outbox: an event and its deliveries are rows of the transaction in which it happened, or there are none."""

from typing import Any
from uuid import UUID

import orjson
from django.db import connections

from ..ids import uuid7
from .event_types import EVENT_TYPES

EVENT_PREFIX = "evt_"


def emit(*, type: str, data: dict[str, Any], object_id: str) -> None:
    """Tell the current tenant's endpoints that want `type`; call it inside the scope and transaction of the change.

    One round trip, and nothing is written where no endpoint wants it. Where the transaction is rolled back nobody hears
    of it; once it is committed everybody does, at least once.

    Args:
        type: one of `EVENT_TYPES`.
        data: what the body's `data` holds beside `id`; what JSON can carry, dates, UUIDs and decimals as text.
            No content of documents, prompts or answers: whoever is told asks for it with a key.
        object_id: the public id of what it happened to; becomes `data.id` where `data` has none.
    """
    send_event(type=type, data={"id": object_id, **data}, object_id=object_id)


def send_event(
    *, type: str, data: dict[str, Any], object_id: str, endpoint_id: UUID | None = None, event_id: UUID | None = None
) -> int:
    """As `emit`, with `data` as it is; returns to how many endpoints it goes.

    Args:
        endpoint_id: goes to this one alone, whatever it wants.
        event_id: of an event that may be told twice: the second time nothing is written.

    Raises:
        ValueError: no such type.
    """
    if type not in EVENT_TYPES:
        raise ValueError(f"{type!r} is not a type of event")
    written = orjson.dumps(data, default=str).decode()
    parameters: list[Any] = [event_id or uuid7(), type, object_id, written, endpoint_id]
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT emit_webhook(%s, %s, %s, %s, %s)", parameters)
        return int(cursor.fetchone()[0])
