"""JSON and JSONL as text: a line for each record that names its fields; in a step only (see `steps`)."""

import json
from collections.abc import Iterator
from typing import Any

from . import failures
from .content import escaped
from .documents import INVALID_FILE, UnreadableFile


def is_json(text: str) -> bool:
    """Whether the text, which begins with a bracket, is one JSON value or one a line."""
    try:
        _parsed(text)
    except (UnreadableFile, RecursionError):
        return False
    return True


def spell(text: str) -> str:
    """Markdown: lists of records as lines, nested objects below headings. Raises UnreadableFile."""
    try:
        return "\n".join(_spelled(_parsed(text), 1))
    except RecursionError as error:
        raise failures.nested_too_deep() from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Extra data"):
            return _lines(text)
        raise _invalid(error) from error
    except ValueError as error:  # a number of thousands of digits
        raise failures.corrupt() from error


def _lines(text: str) -> list[Any]:
    """JSONL: one value in each line that is not blank."""
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except ValueError as error:
                raise _invalid(error, number) from error
    return values


def _invalid(error: ValueError, line: int | None = None) -> UnreadableFile:
    place = line or getattr(error, "lineno", 1)
    reason = getattr(error, "msg", "a number is too long")
    return UnreadableFile(INVALID_FILE, f"The file is not valid JSON: line {place}: {reason}.")


def _spelled(value: Any, level: int) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield _record(item)
    elif isinstance(value, dict):
        yield from _members(value, level)
    else:
        yield _scalar(value)


def _members(value: dict[str, Any], level: int) -> Iterator[str]:
    """Plain fields first, then what has an inside of its own."""
    plain = {key: item for key, item in value.items() if not _has_inside(item)}
    yield from (f"{key}: {_scalar(item)}" for key, item in plain.items() if _scalar(item))
    for key, item in value.items():
        if key not in plain:
            yield f"\n{'#' * min(level, 6)} {' '.join(key.split())}\n"
            yield from _spelled(item, level + 1)


def _has_inside(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)
    )


def _record(value: Any) -> str:
    """One line (more where a string has several): "name: Anna; berth.number: 4"."""
    return "; ".join(f"{path}: {text}" if path else text for path, text in _leaves(value, "") if text)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif _has_inside(value):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(filter(None, map(_scalar, value)))
    if value is None:
        return ""
    return escaped(value.strip()) if isinstance(value, str) else json.dumps(value)
