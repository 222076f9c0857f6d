"""No request's body is larger than the largest file: refused by its announced length before a byte of it is read, and
where none is announced as soon as it is longer. Django writes a body to disk before any view sees the request, so a view
cannot refuse it in time.

The answer is sent at once, the rest of the body is read and thrown away for a while: a browser that is still sending
would otherwise see a broken connection in place of the answer.
"""

import asyncio
import json
from typing import Any

from django.conf import settings

from knowledge.files import FileTooLarge

from .errors import body_for

#: Of a form's body that are not the file.
FORM_BYTES = 64 * 1024
_DISCARD_SECONDS = 60


class BodyLimit:
    """An ASGI application in front of another."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass on what is not too large."""
        limit, received = settings.MAX_FILE_BYTES + FORM_BYTES, 0
        announced = _announced(scope)
        if announced > limit:
            await _refuse(scope, receive, send, announced)
            return

        async def counted() -> dict[str, Any]:
            nonlocal received
            message: dict[str, Any] = await receive()
            received += len(message.get("body", b""))
            # Django takes it for a client that went away, and removes what it has written.
            return message if received <= limit else {"type": "http.disconnect"}

        await self._application(scope, counted, send)
        if received > limit:
            await _refuse(scope, receive, send, received)


def _announced(scope: dict[str, Any]) -> int:
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


async def _refuse(scope: dict[str, Any], receive: Any, send: Any, size: int) -> None:
    error = FileTooLarge(size)
    headers = dict(scope["headers"])
    if b"text/html" in headers.get(b"accept", b""):
        kind, text = b"text/plain; charset=utf-8", f"{error.message} Go back to choose another file."
    else:
        kind, text = b"application/json", json.dumps(body_for(scope["path"], error))
    start = {"type": "http.response.start", "status": error.status}
    await send({**start, "headers": [(b"content-type", kind), (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass  # it sends on and on: the connection ends here
    await send({"type": "http.response.body", "body": b""})
