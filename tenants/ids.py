"""Identifiers: UUIDv7 inside, a typed prefix outside (`file-018f…`, `vs_018f…`)."""

import uuid
from datetime import datetime

import uuid_utils.compat


def uuid7() -> uuid.UUID:
    """A new time-ordered UUID (RFC 9562, version 7)."""
    return uuid_utils.compat.uuid7()


def public_id(prefix: str, value: uuid.UUID) -> str:
    """The id that clients see: `prefix` (its separator included) and 32 hexadecimal digits."""
    return prefix + value.hex


def parse_public_id(prefix: str, text: str) -> uuid.UUID | None:
    """The UUID inside a public id, or None where `text` is not one; callers answer 404 as for a missing object."""
    digits = text.removeprefix(prefix)
    if digits == text or len(digits) != 32:
        return None
    try:
        return uuid.UUID(hex=digits)
    except ValueError:
        return None


def first_uuid7(moment: datetime) -> uuid.UUID:
    """The lowest UUIDv7 of a millisecond: rows made at or after `moment` have this id or a higher one."""
    milliseconds = int(moment.timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)
