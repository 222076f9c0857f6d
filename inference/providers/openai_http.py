"""Asking servers that speak OpenAI's HTTP API, on the event loop: one POST, one JSON answer or server-sent events.

The client does not retry by itself: routing decides, so that there is one retry layer. A call is broken off by
cancelling its task, which hangs up.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
import orjson
from django.conf import settings

from . import public_only
from .base import ProviderError
from .openai_wire import MAX_ANSWER_BYTES, garbage, status_error

_LAST_CHUNK_SECONDS = 0.2
#: By what they may connect to: anything, or public addresses only (`public_only`) with TLS and without.
_Sessions = dict[str, aiohttp.ClientSession]
_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Sessions] = WeakKeyDictionary()


def session(kind: str = "any") -> aiohttp.ClientSession:
    """One of the running loop's sessions: their connections are kept for the next call."""
    sessions = _sessions.setdefault(asyncio.get_running_loop(), {})
    found = sessions.get(kind)
    if found is None or found.closed:
        found = sessions[kind] = aiohttp.ClientSession(connector=_connector(kind), auto_decompress=True)
    return found


def _connector(kind: str) -> aiohttp.TCPConnector:
    if kind == "any":
        # aiohttp may start a connection's timer of silence again after a large answer's end (`resume_reading`): a
        # connection is dropped before that could tell the next call, which has not even asked, of a timeout.
        keepalive = min(30.0, settings.UPSTREAM_READ_SECONDS / 2)
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive, ttl_dns_cache=60)
    return public_only.connector(plain=kind == "public http")


async def close_session() -> None:
    """Hang up on all servers."""
    for found in _sessions.pop(asyncio.get_running_loop(), {}).values():
        await found.close()


def headers_with(api_key: str) -> dict[str, str]:
    """Those of a JSON request, with the key as bearer where there is one."""
    headers = {"content-type": "application/json"}
    return {**headers, "authorization": f"Bearer {api_key}"} if api_key else headers


@asynccontextmanager
async def posted(
    url: str, headers: dict[str, str], body: dict[str, Any], *, public: bool = False
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The server's answer to `body`, of status 200. `public`: it must stand at a public address.

    Raises:
        ProviderError: it refused, or failed, also while the answer is read inside.
    """
    kind = "any"
    if public:
        public_only.check_before_call(url)
        kind = f"public {url.partition(':')[0].lower()}"
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.UPSTREAM_CONNECT_SECONDS, sock_read=settings.UPSTREAM_READ_SECONDS
    )
    try:
        async with session(kind).post(
            url, data=orjson.dumps(body), headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise status_error(answer.status, answer.headers, await whole(answer))
            yield answer
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise _transport_error(error) from error


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """All of an answer.

    Raises:
        ProviderError: it does not end.
    """
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise garbage("an answer of more than 32 MiB")
        parts.append(part)
    return b"".join(parts)


def require_events(answer: aiohttp.ClientResponse) -> None:
    """A stream was asked for.

    Raises:
        ProviderError: it is none.
    """
    if "text/event-stream" not in answer.content_type:
        raise garbage(f"{answer.content_type!r} instead of an event stream")


async def read_out(answer: aiohttp.ClientResponse) -> None:
    """Read the last, empty chunk of a stream that said its end, so that its connection can serve another call.

    Servers that keep the stream open get no more than a moment's patience; their connection is closed.
    """
    try:
        async with asyncio.timeout(_LAST_CHUNK_SECONDS):
            while not answer.content.at_eof():
                await answer.content.readany()
    except TimeoutError:
        answer.close()


class EventData:
    """The data of server-sent events, cut from bytes as they arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[bytes]:
        """That of the events which `data` completes.

        Raises:
            ProviderError: an event does not end.
        """
        # A line may end with \r\n; events are separated by blank lines, which are skipped like comments.
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_ANSWER_BYTES:
            raise garbage("an event without an end")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


def _transport_error(error: Exception) -> ProviderError:
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        return ProviderError("The model's server cannot be reached.", code="upstream_unreachable", status=503)
    if isinstance(error, TimeoutError):
        return ProviderError("The model's server did not answer in time.", code="upstream_timeout", status=504)
    return ProviderError("The connection to the model's server broke.", code="upstream_broke_off")
