"""Whether a schema can be used: valid by its own draft, within bounds, and closed in itself.

References are pointers into the schema itself (`#`, `#/$defs/…`), never addresses, and no cycle of them leads back to
the same value: such a schema would never be done with it.
"""

import graphlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import orjson
from jsonschema import Draft7Validator, Draft202012Validator

from tenants.errors import InvalidRequest

from .patterns import PatternRefused, compiled

MAX_BYTES, MAX_DEPTH, MAX_SCHEMAS, MAX_PATTERNS = 120_000, 64, 5_000, 200
_PARAM = "response_format.json_schema"
_DRAFT_7, _DRAFT_2020 = ("http://json-schema.org/draft-07/schema", "https://json-schema.org/draft/2020-12/schema")
#: Keywords whose value is a schema, a list of schemas, or schemas by name.
_ONE = (
    "not", "if", "then", "else", "additionalProperties", "propertyNames", "contains", "items", "additionalItems",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
#: Those whose schemas look at the same value as the schema that holds them.
_IN_PLACE = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"})
_REFUSED = ("$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$anchor")
#: A place in a schema: the keys and positions that lead to it.
Place = tuple[str, ...]


def check_response_format(wanted: dict[str, Any] | None) -> None:
    """Refuse a `response_format` that cannot be meant; other types than `json_schema` are the upstream's to judge.

    Raises:
        InvalidRequest: naming the member at fault, down into the schema.
    """
    if wanted is None or wanted.get("type") != "json_schema":
        return
    described = wanted.get("json_schema")
    if not isinstance(described, dict):
        raise InvalidRequest("'json_schema' must be an object with a name and a schema.", param=_PARAM)
    if not isinstance(described.get("strict"), bool | None):
        raise InvalidRequest("'strict' must be true or false.", param=f"{_PARAM}.strict")
    schema = described.get("schema")
    if schema is None and not described.get("strict"):
        return
    if not isinstance(schema, dict):
        raise InvalidRequest("'schema' must be a JSON Schema: an object.", param=f"{_PARAM}.schema")
    check_schema(schema)


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that is not one, is too large, or points outside itself.

    Raises:
        InvalidRequest: naming the place in it.
    """
    if len(orjson.dumps(schema)) > MAX_BYTES:
        raise _refused(f"a schema has at most {MAX_BYTES} bytes", ())
    _check_depth(schema)
    _check_keywords_of(schema)
    places = dict(_schemas_in(schema))
    if len(places) > MAX_SCHEMAS:
        raise _refused(f"a schema has at most {MAX_SCHEMAS} parts", ())
    for place, part in places.items():
        _check_keywords(place, part)
    _check_patterns(places)
    _check_references(places)


def draft_of(schema: dict[str, Any]) -> Any:
    """The validator class of the draft that `$schema` names; 2020-12 where it names none.

    Raises:
        InvalidRequest: another draft than 7 and 2020-12.
    """
    named = str(schema.get("$schema", _DRAFT_2020)).rstrip("#")
    if named not in (_DRAFT_7, _DRAFT_2020):
        raise _refused(f"the drafts understood are {_DRAFT_7}# and {_DRAFT_2020}", ("$schema",))
    return Draft7Validator if named == _DRAFT_7 else Draft202012Validator


def _refused(why: str, place: Place) -> InvalidRequest:
    param = ".".join((f"{_PARAM}.schema", *place))
    return InvalidRequest(f"Invalid schema for 'response_format' at '{param}': {why}.", param=param)


def _check_keywords_of(schema: dict[str, Any]) -> None:
    """By the draft's own schema, in Rust: in Python it would take a second for what is allowed to be asked."""
    draft = _DRAFT_7 + "#" if draft_of(schema) is Draft7Validator else _DRAFT_2020
    try:
        # With a draft that is known: what another `$schema` names, the library would fetch.
        jsonschema_rs.meta.validate({**schema, "$schema": draft})
    except jsonschema_rs.ValidationError as error:
        place = tuple(str(step) for step in error.instance_path)
        why = "no type of JSON Schema" if place[-1:] == ("type",) else error.message[:300]
        raise _refused(why, place) from error


def _check_depth(schema: dict[str, Any]) -> None:
    """Level by level, so that no depth is too deep for the check itself."""
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _parts(value) if isinstance(part, dict | list)]
        if not level:
            return
    raise _refused(f"a schema is at most {MAX_DEPTH} levels deep", ())


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _schemas_in(schema: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The schema and every schema inside it, with their places; what is data (`const`, `default` …) is none."""
    if not isinstance(schema, dict):
        return  # true and false are schemas too, but say nothing
    yield place, schema
    for keyword, key, part in _inside(schema):
        yield from _schemas_in(part, (*place, keyword, *key))


def _inside(schema: dict[str, Any]) -> Iterator[tuple[str, Place, Any]]:
    """(keyword, the place behind it, schema) of each schema directly inside another."""
    for keyword in _ONE:
        if isinstance(schema.get(keyword), dict):
            yield keyword, (), schema[keyword]
    for keyword in _MANY:
        for number, part in enumerate(schema[keyword] if isinstance(schema.get(keyword), list) else ()):
            yield keyword, (str(number),), part
    for keyword in _NAMED:
        for name, part in schema[keyword].items() if isinstance(schema.get(keyword), dict) else ():
            yield keyword, (name,), part


def _check_keywords(place: Place, part: dict[str, Any]) -> None:
    for keyword in _REFUSED:
        if keyword in part:
            raise _refused(f"'{keyword}' is not supported; point with '$ref': '#/$defs/…'", (*place, keyword))
    if place and "$id" in part:
        raise _refused("'$id' is supported at the top only", (*place, "$id"))


def _check_patterns(places: dict[Place, dict[str, Any]]) -> None:
    found = [((*place, "pattern"), part["pattern"]) for place, part in places.items() if "pattern" in part]
    by_name = [
        ((*place, "patternProperties", name), name)
        for place, part in places.items()
        for name in part.get("patternProperties", ())
    ]
    if len(found) + len(by_name) > MAX_PATTERNS:
        raise _refused(f"a schema has at most {MAX_PATTERNS} patterns", ())
    for place, pattern in (*found, *by_name):
        try:
            compiled(pattern)
        except PatternRefused as error:
            raise _refused(str(error), place) from error
    # The library matches these by the backtracking engine when it looks for what is left unevaluated.
    unevaluated = next((place for place, part in places.items() if "unevaluatedProperties" in part), None)
    if by_name and unevaluated is not None:
        why = "'unevaluatedProperties' is not supported beside 'patternProperties'"
        raise _refused(why, (*unevaluated, "unevaluatedProperties"))


def _check_references(places: dict[Place, dict[str, Any]]) -> None:
    graph: dict[Place, list[Place]] = {}
    for place, part in places.items():
        graph[place] = [(*place, keyword, *key) for keyword, key, _ in _inside(part) if keyword in _IN_PLACE]
        if "$ref" in part:
            graph[place].append(_target(place, part["$ref"], places))
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle = error.args[1]
        raise _refused("the references lead back to where they start, without an end", cycle[0]) from error


def _target(place: Place, reference: str, places: dict[Place, dict[str, Any]]) -> Place:
    if not reference.startswith("#"):
        raise _refused("a reference points into the schema itself ('#/$defs/…'), never elsewhere", (*place, "$ref"))
    pointer = unquote(reference[1:])
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    if steps not in places or (pointer and not pointer.startswith("/")):
        raise _refused(f"'{reference[:200]}' points to no schema", (*place, "$ref"))
    return steps
