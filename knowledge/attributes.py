"""What clients may hang on their objects: metadata (strings) and attributes (strings, numbers, booleans)."""

import math
from typing import Any

from tenants.errors import InvalidRequest

MAX_PAIRS, MAX_KEY_LENGTH, MAX_VALUE_LENGTH = 16, 64, 512


def check_metadata(value: Any) -> dict[str, str]:
    """`value` as metadata.

    Raises:
        InvalidRequest: more than 16 pairs, keys above 64 characters, values that are not strings of at most 512.
    """
    return _check(value, param="metadata", allowed=(str,), kinds="strings")


def check_attributes(value: Any) -> dict[str, str | float | bool]:
    """`value` as attributes; limits as for metadata, and numbers and booleans are values too."""
    return _check(value, param="attributes", allowed=(str, int, float, bool), kinds="strings, numbers or booleans")


def storable(text: str) -> bool:
    """Whether Postgres takes `text`: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _is_writable(value: Any) -> bool:
    """Whether a JSON document can carry it out again: finite, at most 64 bits."""
    match value:
        case float():
            return math.isfinite(value)
        case int():
            return abs(value) < 2**63
    return True


def _check(value: Any, *, param: str, allowed: tuple[type, ...], kinds: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_PAIRS:
        raise InvalidRequest(f"Invalid '{param}': must be an object of at most {MAX_PAIRS} pairs.", param=param)
    for key, item in value.items():
        if not 0 < len(key) <= MAX_KEY_LENGTH or not storable(key):
            raise InvalidRequest(f"Invalid '{param}': keys have 1 to {MAX_KEY_LENGTH} characters.", param=param)
        if not isinstance(item, allowed) or not _is_writable(item):
            raise InvalidRequest(f"Invalid '{param}.{key}': values are {kinds}.", param=f"{param}.{key}")
        if isinstance(item, str) and (len(item) > MAX_VALUE_LENGTH or not storable(item)):
            raise InvalidRequest(
                f"Invalid '{param}.{key}': a string has at most {MAX_VALUE_LENGTH} characters.", param=f"{param}.{key}"
            )
    return value
