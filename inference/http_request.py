"""What comes from one client of the hot path, over bare ASGI: headers, body, and that it has left."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson

from tenants.errors import InvalidRequest
from tenants.idempotency import check_key

Receive = Callable[[], Awaitable[dict[str, Any]]]

MAX_BODY_BYTES = 20 * 1024 * 1024


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; one that came twice has both values, as Django has it, so that neither wins by its place."""
    headers: dict[str, str] = {}
    for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs):
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def decoded(body: bytes) -> dict[str, Any]:
    """The body as an object.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"We could not parse the JSON body of your request: {error}.") from error
    if not isinstance(data, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return data


def alias_of(data: dict[str, Any]) -> str:
    """The model a request asks for, before anything else of it is looked at."""
    alias = data.get("model")
    if not isinstance(alias, str) or not alias:
        raise InvalidRequest("You must provide 'model', a string.", param="model")
    return alias


def idempotency_key_of(headers: dict[str, str], *, stream: bool) -> str | None:
    """The key of the request, if it has one."""
    if "idempotency-key" not in headers:
        return None
    if stream:
        raise InvalidRequest("Idempotency-Key is not supported on streams.", param="Idempotency-Key")
    return check_key(headers["idempotency-key"])


async def read_body(receive: Receive) -> bytes:
    """All of the body.

    Raises:
        InvalidRequest: it is too large, or broke off.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidRequest("The request ended before its body did.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise InvalidRequest(f"The request body is larger than {MAX_BODY_BYTES} bytes.")
        if not message.get("more_body"):
            return b"".join(parts)


async def client_left(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
