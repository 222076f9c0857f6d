"""`Idempotency-Key`: the same key and body answer the first answer again.

The record is written in the transaction of the effect, so there is never one without the other: a request that
failed left neither and may be sent again. Same key, other body: 422; first one still at work: 409.
"""

import json
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any

import orjson
from django.db import connection
from rest_framework.request import Request
from rest_framework.response import Response

from .authentication import caller_of
from .errors import AtriumError, InvalidRequest
from .models import IdempotencyRecord
from .scope import tenant_scope

MAX_KEY_LENGTH = 255


class KeyReused(AtriumError):
    """The key was used with another body."""

    status = 422
    type = "invalid_request_error"
    code = "idempotency_key_reused"


class StillInFlight(AtriumError):
    """The first request with this key has not ended."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_in_flight"

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still in flight.", headers={"retry-after": "1"})


def fingerprint(*parts: bytes) -> str:
    """What makes two requests the same: method, path, for whom, and body, hashed (64 hex digits)."""
    return sha256(b"\0".join(parts)).hexdigest()


def check_key(key: str) -> str:
    """The key, if it is one.

    Raises:
        InvalidRequest: empty or too long.
    """
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        raise InvalidRequest(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.", param="Idempotency-Key")
    return key


def find(*, caller: str, key: str, fingerprint: str) -> IdempotencyRecord | None:
    """The record of an earlier request, inside a scope; locks the key until the transaction ends.

    Raises:
        StillInFlight: another transaction holds the key.
        KeyReused: it was used with another body.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id') || %s || ':' || %s, 0))",
            [caller, key],
        )
        if not cursor.fetchone()[0]:
            raise StillInFlight
    record = IdempotencyRecord.objects.filter(caller=caller, key=key).first()
    if record is not None and record.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key was used with a different request. Use a new key for a new request.")
    return record


def idempotent(*, secret_fields: tuple[str, ...] = ()) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Decorator for a DRF create method: honours `Idempotency-Key` where the client sent one.

    Args:
        secret_fields: members of the answer that exist once; the stored answer has null in their place.
    """

    def decorate(create: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(create)
        def wrapper(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
            if "Idempotency-Key" not in request.headers:
                return create(self, request, *args, **kwargs)
            key = check_key(request.headers["Idempotency-Key"])
            caller = str(caller_of(request).key_id)
            identity = caller_of(request).identity
            # The standard library's: it takes every value that JSON can carry, integers beyond 64 bits included.
            body = json.dumps(request.data, sort_keys=True).encode()
            mark = fingerprint(str(request.method).encode(), request.path.encode(), identity, body)
            with tenant_scope() as tenant_id:
                record = find(caller=caller, key=key, fingerprint=mark)
                if record is not None:
                    return Response(record.response, status=record.status, headers={"idempotent-replayed": "true"})
                response = create(self, request, *args, **kwargs)
                kept = {**response.data, **dict.fromkeys(secret_fields)} if secret_fields else response.data
                IdempotencyRecord.objects.create(
                    tenant_id=tenant_id,
                    caller=caller,
                    key=key,
                    fingerprint=mark,
                    status=response.status_code,
                    response=orjson.loads(orjson.dumps(kept, default=str)),
                )
                return response

        wrapper.honours_idempotency_key = True  # type: ignore[attr-defined]  # for the OpenAPI document
        return wrapper

    return decorate
