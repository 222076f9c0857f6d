"""Whether a text is JSON that matches a schema, in bounded work.

`jsonschema` decides, with keywords of our own where its would match patterns by backtracking or compare every item with
every other. The keywords looked at are counted: a small schema can ask for exponentially many.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry

from .patterns import compiled
from .schemas import draft_of

_MOST_KEYWORDS = 50_000
_MOST_TEXT = 400


@dataclass(frozen=True)
class Mismatch:
    """What is wrong with an answer.

    `told` is for the model, and may repeat what it wrote; `shown` is for the client, and names places of its schema only.
    """

    told: str
    shown: str


class TooMuchWork(Exception):
    """The schema asks for more than `_MOST_KEYWORDS` looks at this text."""


@dataclass
class _Work:
    """One matching: the looks that are left, and the patterns that are compiled."""

    left: int = _MOST_KEYWORDS
    patterns: dict[str, Any] = field(default_factory=dict)

    def search(self, pattern: str, text: str) -> bool:
        """Whether the pattern matches somewhere in the text."""
        if pattern not in self.patterns:
            self.patterns[pattern] = compiled(pattern)
        return self.patterns[pattern].search(text) is not None


_work: ContextVar[_Work] = ContextVar("matching")
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def mismatch(schema: dict[str, Any], text: str) -> Mismatch | None:
    """What is wrong with `text` by a schema that was checked; None where it matches."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Mismatch(f"it is not JSON: {error}"[:_MOST_TEXT], "it is not JSON")
    token = _work.set(_Work())
    try:
        fault = best_match(_validator(schema).iter_errors(value))
    except (TooMuchWork, RecursionError):
        return Mismatch(
            "it is nested or branched too much to be checked", "it is nested or branched too much to be checked"
        )
    finally:
        _work.reset(token)
    if fault is None:
        return None
    place = ".".join(str(part) for part in fault.absolute_schema_path)
    return Mismatch(f"at {fault.json_path}: {fault.message}"[:_MOST_TEXT], f"it fails '{place[:_MOST_TEXT]}'")


def _validator(schema: dict[str, Any]) -> Any:
    # An empty registry: without one the library would fetch references from the network.
    without_id = {name: value for name, value in schema.items() if name != "$id"}
    return _bounded()[draft_of(schema)](without_id, registry=Registry())


@lru_cache(maxsize=1)
def _bounded() -> dict[Any, Any]:
    """The library's validator classes with counted keywords, and those of ours."""
    own: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    return {
        draft: extend(draft, {name: _counted(own.get(name, keyword)) for name, keyword in draft.VALIDATORS.items()})
        for draft in (Draft7Validator, Draft202012Validator)
    }


def _counted(keyword: Keyword) -> Keyword:
    def look(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        work = _work.get()
        work.left -= 1
        if work.left < 0:
            raise TooMuchWork
        yield from keyword(validator, wanted, value, schema) or ()

    return look


def _pattern(validator: Any, wanted: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _work.get().search(wanted, value):
        yield ValidationError(f"{value!r} does not match {wanted!r}")


def _pattern_properties(validator: Any, wanted: dict[str, Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    for pattern, part in wanted.items() if isinstance(value, dict) else ():
        for name in value:
            if _work.get().search(pattern, name):
                yield from validator.descend(value[name], part, path=name, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    patterns = schema.get("patternProperties", ())
    more = [
        name
        for name in value
        if name not in schema.get("properties", ()) and not any(_work.get().search(one, name) for one in patterns)
    ]
    if isinstance(wanted, dict):
        for name in more:
            yield from validator.descend(value[name], wanted, path=name)
    elif wanted is False and more:
        yield ValidationError(f"{', '.join(map(repr, more[:10]))} must not be there")


def _unique_items(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(value, list) and len({_same(item) for item in value}) < len(value):
        yield ValidationError("the items are not all different")


def _same(item: Any) -> bytes:
    """Equal for values that JSON Schema holds to be equal: the order of members does not count, nor 1 against 1.0."""
    return orjson.dumps(_numbers_alike(item), option=orjson.OPT_SORT_KEYS)


def _numbers_alike(item: Any) -> Any:
    if isinstance(item, float) and item.is_integer() and abs(item) < 2**63:
        return int(item)
    if isinstance(item, dict):
        return {name: _numbers_alike(value) for name, value in item.items()}
    return [_numbers_alike(value) for value in item] if isinstance(item, list) else item
