"""Listening again to a response that is streamed from the background."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import redis
from asgiref.sync import sync_to_async
from django.conf import settings

from tenants.errors import AtriumError, InvalidRequest
from tenants.scope import acting_for, tenant_scope

from .. import generations
from ..models import Generation
from . import kept
from .event_log import SILENCE, entries, events_after, log_key
from .history import Sight
from .transcript import response_error


def listen(text: str, *, sight: Sight, starting_after: int) -> AsyncIterator[bytes]:
    """The events of a response after the one with that number, as they were and as they come.

    Raises:
        NotFound: no such response for this caller.
        InvalidRequest: it was not made in the background as a stream, or its events are not kept any more.
    """
    with tenant_scope():
        row = kept.find(text, sight=sight)
    request = row.request or {}
    if not (request.get("background") and request.get("stream")):
        raise InvalidRequest("Only a response made with 'background' and 'stream' can be listened to.", param="stream")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        if not client.exists(log_key(row.tenant_id, row.id)):
            raise InvalidRequest(
                "The events of this response are not kept any more. Retrieve it without 'stream'.", param="stream"
            )
    return _events(row, starting_after)


def forget(row: Generation) -> None:
    """Let go of a response's events."""
    if (row.request or {}).get("background"):
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            client.delete(log_key(row.tenant_id, row.id))


async def _events(row: Generation, number: int) -> AsyncIterator[bytes]:
    latest = b""
    async for entry in entries(settings.REDIS_URL, log_key(row.tenant_id, row.id)):
        if entry is SILENCE:
            if (ended := await sync_to_async(_ended)(row)) is not None:
                # Its last entry was lost with Redis; the row knows what became of it.
                yield response_error(orjson.dumps(ended), latest)
                return
            yield b": keepalive\n\n"
            continue
        data = response_error(entry.data, latest) if entry.kind == "error" else entry.data
        latest = data or latest
        if wanted := events_after(data, number):
            yield wanted


def _ended(row: Generation) -> dict[str, Any] | None:
    """The error to tell, once the call has ended."""
    with acting_for(row.tenant_id):
        found = generations.ended(tenant_id=row.tenant_id, generation_id=row.id)
    if found is None:
        return None
    lost = AtriumError("The rest of the events was lost on its way. Retrieve the response without 'stream'.")
    return found["error"] or lost.body()
