"""Arguments of tool calls: JSON whose strings, numbers and names are looked at one by one, escapes resolved."""

from collections.abc import Sequence
from typing import Any

import orjson

from .text import ActiveScreen, Note, screened

#: What lies deeper is looked at as text.
_DEEPEST = 64


def screened_arguments(text: str, screens: Sequence[ActiveScreen], note: Note) -> tuple[str, bool]:
    """Arguments as they may go on, and whether something in them is blocked: then nothing of them may.

    A masked number becomes a string. What is not JSON is looked at as text.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        out, blocked = screened(text, screens, note)
        return ("" if blocked else out), blocked
    looking = _Looking(screens, note)
    after = looking.value(value)
    if looking.blocked:
        return "", True
    return (orjson.dumps(after).decode() if looking.changed else text), False


class _Looking:
    def __init__(self, screens: Sequence[ActiveScreen], note: Note) -> None:
        self._screens = screens
        self._note = note
        self.blocked = self.changed = False

    def value(self, value: Any, depth: int = 0) -> Any:
        """A value with what is to be masked, masked."""
        if isinstance(value, dict | list) and depth == _DEEPEST:
            written = orjson.dumps(value).decode()
            after = self._text(written)
            return value if after == written else after
        if isinstance(value, dict):
            return {self._text(name): self.value(member, depth + 1) for name, member in value.items()}
        if isinstance(value, list):
            return [self.value(member, depth + 1) for member in value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = str(value)
            after = self._text(written)
            return value if after == written else after
        return value

    def _text(self, text: str) -> str:
        out, blocked = screened(text, self._screens, self._note)
        self.blocked |= blocked
        self.changed |= out != text
        return out
