"""One attempt: a signed POST to a public address. No redirect is followed: a signature is for one address.

Holds no transaction, and knows nothing of what becomes of the answer.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from .. import public_addresses
from ..guarded_http import Exchange, Limits, Refused, SourceFailed, Target, check_target, send
from ..ids import public_id
from .models import WebhookEndpoint, WebhookEvent
from .outbox import EVENT_PREFIX
from .signing import signed_headers

#: How long one attempt may take from the look-up of the name to the end of the answer.
WHOLE_SECONDS = 20.0
_READ_SECONDS = 15.0
_SHOWN_CHARACTERS = 500
_MOST_READ = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What came of an attempt. `status` is None where nothing answered, `error` empty where it was taken (2xx)."""

    status: int | None
    error: str
    took_ms: int
    retry_after: str = ""

    @property
    def taken(self) -> bool:
        """Whether the other side has it."""
        return self.status is not None and 200 <= self.status < 300


def post(endpoint: WebhookEndpoint, event: WebhookEvent, *, now: datetime) -> Answer:
    """Send `event` to `endpoint` once; every failure is an `Answer` too."""
    started = time.monotonic()
    message_id = public_id(EVENT_PREFIX, event.id)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Atrium/1.0 (webhooks)",
        **signed_headers(endpoint, message_id=message_id, body=event.body, now=now.astimezone(UTC)),
    }
    limits = Limits(
        _MOST_READ,
        read_seconds=_READ_SECONDS,
        whole_seconds=WHOLE_SECONDS,
        networks=tuple(settings.WEBHOOK_ALLOWED_NETWORKS),
    )
    try:
        target = check_url(endpoint.url)
        _refuse_plain_to_strangers(target)
        exchange = send(
            target,
            deadline=started + WHOLE_SECONDS,
            limits=limits,
            method="POST",
            headers=headers,
            body=event.body.encode(),
        )
    except SourceFailed as error:
        return Answer(None, error.message, _since(started))
    try:
        return _read(exchange, started)
    finally:
        exchange.close()


def check_url(url: str) -> Target:
    """What can be said of an endpoint's URL without asking a name server.

    Raises:
        Refused: it cannot work, or is plain HTTP where the operator allows no networks for it.
    """
    target = check_target(url, tuple(settings.WEBHOOK_ALLOWED_NETWORKS))
    if target.scheme != "https" and not settings.WEBHOOK_ALLOWED_NETWORKS:
        raise Refused("The URL must begin with https://.")
    return target


def _refuse_plain_to_strangers(target: Target) -> None:
    """Without TLS only into networks that the operator allows; a name that cannot be resolved is `send`'s to tell."""
    if target.scheme == "https":
        return
    try:
        addresses = public_addresses.resolve_all(target.host, target.port)
    except public_addresses.Unresolvable:
        return
    if not all(public_addresses.is_allowed(address, settings.WEBHOOK_ALLOWED_NETWORKS) for address in addresses):
        raise Refused("The URL must begin with https://.")


def _read(exchange: Exchange, started: float) -> Answer:
    status, retry_after = exchange.answer.status, exchange.answer.headers.get("Retry-After") or ""
    if 200 <= status < 300:
        return Answer(status, "", _since(started))
    return Answer(status, f"Status {status}. {_excerpt(exchange)}".strip(), _since(started), retry_after)


def _excerpt(exchange: Exchange) -> str:
    """The beginning of what a refusing server says, for the person who looks for the reason."""
    try:
        first = next(exchange.content(limit=_MOST_READ, too_large=""), b"")
    except SourceFailed:
        return ""  # the status is what counts, and it is there
    text = first.decode(errors="replace")[:_SHOWN_CHARACTERS]
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
