"""JSON in: what DRF's parser takes, except what nothing behind it could hold."""

import math
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

_DEEPEST = 64


class BoundedJSONParser(JSONParser):
    """DRF's parser, with bounds: a body that is nested too deeply, or has text or numbers that are none, is malformed."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The decoded body.

        Raises:
            ParseError: it is no JSON object, nested deeper than 64 levels, has text that PostgreSQL cannot store, or
                numbers beyond what a float holds. Large integers pass: the field that they are for refuses them by name.
        """
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError(f"it is nested deeper than {_DEEPEST} levels.") from error
        if not isinstance(data, dict):
            raise ParseError("it is not an object.")
        _check(data)
        return data


def _check(data: Any) -> None:
    level = [data]
    for _ in range(_DEEPEST + 1):
        below: list[Any] = []
        for value in level:
            match value:
                case dict():
                    below += [*value.keys(), *value.values()]
                case list():
                    below += value
                case str() if not _is_text(value):
                    raise ParseError("a string has a NUL character or half of a surrogate pair.")
                case float() if not math.isfinite(value):
                    raise ParseError("a number is beyond what a float holds.")
        if not below:
            return
        level = below
    raise ParseError(f"it is nested deeper than {_DEEPEST} levels.")


def _is_text(value: str) -> bool:
    """Whether UTF-8 and PostgreSQL can hold it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
