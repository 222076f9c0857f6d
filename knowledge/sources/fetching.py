"""A document from a URL: redirects followed one checked step at a time, its size limited while it comes.

Nothing is kept between fetches and nothing of one step goes to the next: no cookie, no credential, no referrer.
"""

import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from pathlib import PurePath
from typing import BinaryIO
from urllib.parse import urljoin

from tenants.guarded_http import Exchange, Limits, Refused, Target, Unreachable, parse_target, send

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_ACCEPT = {"Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Version:
    """What the server calls the version it sent: ETag and Last-Modified as they came, empty where it names none."""

    etag: str = ""
    modified: str = ""


@dataclass(frozen=True)
class Fetched:
    """A document that was written to the caller's file. `filename` is empty where the answer suggests none."""

    filename: str
    size: int
    sha256: str
    version: Version


def fetch(
    url: str, *, into: BinaryIO, limits: Limits, known: Version | None = None, check: Callable[[], None]
) -> Fetched | None:
    """Write what `url` answers with to `into`.

    Args:
        known: a version that need not be sent again.
        check: called between pieces; what it raises ends the fetch.

    Returns:
        None where the server still has the version that is known.

    Raises:
        Refused: it cannot work: the URL, where it leads, what it answers, or too much of it.
        Unreachable: another attempt may help.
    """
    deadline = time.monotonic() + limits.whole_seconds
    target = parse_target(url)
    for _ in range(MAX_REDIRECTS + 1):
        check()
        exchange = send(target, deadline=deadline, limits=limits, headers={**_ACCEPT, **_conditions(known)})
        try:
            status = exchange.answer.status
            if status == 304 and known is not None:
                return None
            if status == 200:
                return _receive(exchange, into, limits, check)
            if status not in _REDIRECTS:
                raise _failure(target, status)
            target = _next(target, exchange.answer.headers.get("Location"))
        finally:
            exchange.close()
    raise Refused(f"The URL redirects more than {MAX_REDIRECTS} times.")


def _conditions(known: Version | None) -> dict[str, str]:
    if known is None:
        return {}
    headers = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in headers.items() if value}


def _next(target: Target, location: str | None) -> Target:
    if not location:
        raise Refused(f"{target.host} redirects to nowhere.")
    following = parse_target(urljoin(f"{target.scheme}://{target.authority}{target.path}", location))
    if target.scheme == "https" and following.scheme == "http":
        raise Refused(f"{target.host} redirects from https to http.")
    return following


def _failure(target: Target, status: int) -> Exception:
    message = f"{target.host} answered with status {status}."
    return Unreachable(message) if status in _TRY_AGAIN else Refused(message)


def _receive(exchange: Exchange, into: BinaryIO, limits: Limits, check: Callable[[], None]) -> Fetched:
    headers = exchange.answer.headers
    announced = headers.get("Content-Length", "")
    if announced.isascii() and announced.isdecimal() and int(announced[:20]) > limits.content_bytes:
        raise Refused(_too_large(limits))
    digest, size = sha256(), 0
    for part in exchange.content(limit=limits.content_bytes, too_large=_too_large(limits)):
        check()
        into.write(part)
        digest.update(part)
        size += len(part)
    if size == 0:
        raise Refused("The URL answered with an empty document.")
    return Fetched(
        filename=_filename(exchange.target, headers.get("Content-Disposition"), headers.get("Content-Type")),
        size=size,
        sha256=digest.hexdigest(),
        version=Version(_kept(headers.get("ETag")), _kept(headers.get("Last-Modified"))),
    )


def _too_large(limits: Limits) -> str:
    return f"The document has more than {limits.content_bytes:,} bytes, which is the limit."


def _kept(value: str | None) -> str:
    """A header that can be sent back; nothing where it is unreasonably long or no plain text."""
    return value if value and len(value) <= 255 and value.isprintable() and value.isascii() else ""


def _filename(target: Target, disposition: str | None, content_type: str | None) -> str:
    """What the answer calls itself, with an ending that says what it is; without any path."""
    name = target.filename
    header = Message()
    if disposition:
        header["Content-Disposition"] = disposition
        name = header.get_filename() or name
    name = PurePath(name.replace("\\", "/")).name.strip().strip(".")
    if name and not PurePath(name).suffix and content_type:
        name += mimetypes.guess_extension(content_type.partition(";")[0].strip().lower()) or ""
    return name[-255:] if name.isprintable() else ""
