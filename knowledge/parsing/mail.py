"""E-mail (RFC 5322, MIME): the headers that matter, the text, and what is attached, each as bytes with a name."""

import email
import email.header
import email.message
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError

_SHOWN = ("From", "To", "Cc", "Date")


@dataclass(frozen=True)
class Attachment:
    """A part that is read as a file of its own; `data` is None where its encoding is broken."""

    name: str
    data: bytes | None


@dataclass(frozen=True)
class Letter:
    """`body` is (bytes, name that says its kind), or None; `head` are lines "From: …"."""

    subject: str | None
    head: list[str]
    body: tuple[bytes, str] | None
    attachments: list[Attachment]


def read(data: bytes) -> Letter:
    """The message in `data`. RecursionError where it is nested absurdly."""
    message = email.message_from_bytes(data)
    body: tuple[bytes, str] | None = None
    attachments: list[Attachment] = []
    for part in _leaves(message):
        if body is None and not _is_attached(part) and part.get_content_type() in ("text/plain", "text/html"):
            body = (_text(part), "body.html" if part.get_content_type() == "text/html" else "body.txt")
        else:
            attachments.append(_attachment(part, len(attachments) + 1))
    head = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    return Letter(_header(message, "Subject"), head, body, attachments)


def _leaves(message: email.message.Message) -> Iterator[email.message.Message]:
    """The parts that say something; of alternatives the plainest text only."""
    if message.get_content_type() == "message/rfc822" or not message.is_multipart():
        yield message
    elif message.get_content_type() == "multipart/alternative":
        parts = [leaf for part in _children(message) for leaf in _leaves(part)]
        shown = [part for part in parts if not _is_attached(part) and part.get_content_maintype() == "text"]
        yield from sorted(shown, key=lambda part: part.get_content_type() != "text/plain")[:1]
        yield from (part for part in parts if part not in shown)
    else:
        for part in _children(message):
            yield from _leaves(part)


def _children(message: email.message.Message) -> list[email.message.Message]:
    return [part for part in message.get_payload() if isinstance(part, email.message.Message)]


def _is_attached(part: email.message.Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _attachment(part: email.message.Message, number: int) -> Attachment:
    name = _decoded(part.get_filename() or "")
    if part.get_content_type() == "message/rfc822":
        inner = _children(part)
        subject = _header(inner[0], "Subject") if inner else None
        return Attachment(name or f"{subject or 'message'}.eml", inner[0].as_bytes() if inner else None)
    payload = part.get_payload(decode=True)
    extension = {"text/html": ".html", "text/plain": ".txt"}.get(part.get_content_type(), "")
    return Attachment(name or f"part {number}{extension}", payload if isinstance(payload, bytes) else None)


def _text(part: email.message.Message) -> bytes:
    """UTF-8 where the part declares an encoding that holds, else the bytes as they are."""
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        return raw.decode(part.get_content_charset("")).encode("utf-8-sig") if part.get_content_charset() else raw
    except (LookupError, UnicodeError):
        return raw


def _header(message: email.message.Message, name: str) -> str | None:
    value = message.get(name)
    return _decoded(str(value)) or None if value is not None else None


def _decoded(value: str) -> str:
    """Encoded words (RFC 2047) and line folds undone."""
    try:
        return " ".join(str(email.header.make_header(email.header.decode_header(value))).split())
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return " ".join(value.split())  # as it stands
