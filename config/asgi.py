"""ASGI: the hot path and Django, side by side in one process."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from config.garbage import settle_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_asgi_application()

from config.body_limit import BodyLimit  # noqa: E402  needs the apps that get_asgi_application() loads
from inference.endpoints import ENDPOINTS  # noqa: E402  needs the apps that get_asgi_application() loads
from inference.gateway import Gateway  # noqa: E402  likewise

_gateway = Gateway()
_limited = BodyLimit(_django)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Dispatch: lifespan and the hot path are ours, all else is Django's."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in ENDPOINTS:
        await _gateway(scope, receive, send)
    else:
        await _limited(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await _gateway.start()
    settle_down()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await _gateway.stop()
    await send({"type": "lifespan.shutdown.complete"})
