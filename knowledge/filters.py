"""OpenAI's attribute filters, compiled to parameterised SQL: nothing of the client's text becomes SQL.

A comparison holds between values of one type only: `gt 5` never matches a string. A missing attribute equals nothing,
so it fails every comparison but `ne` and `nin`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from tenants.errors import InvalidRequest

from .attributes import MAX_KEY_LENGTH, MAX_VALUE_LENGTH, storable

MAX_DEPTH, MAX_CONDITIONS = 5, 100
_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_JSON_TYPES = {str: "string", bool: "boolean", int: "number", float: "number"}
_TYPES = "types are eq, ne, gt, gte, lt, lte, in, nin, and, or."
_LARGEST = 2**63 - 1

Fragment = tuple[str, list[Any]]


class InvalidFilter(InvalidRequest):
    """A filter that is not one."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Invalid 'filters': {message}", param="filters")


def compile_filter(filters: Mapping[str, Any], *, column: str) -> Fragment:
    """The condition on the jsonb `column` (trusted SQL) and its parameters.

    Raises:
        InvalidFilter: an unknown type, a value of the wrong one, nested or many beyond the limits.
    """
    sql, parameters = _node(filters, column, 1)
    if sql.count("%s") > 3 * MAX_CONDITIONS:
        raise InvalidFilter(f"more than {MAX_CONDITIONS} conditions.")
    return sql, parameters


def _node(node: Any, column: str, depth: int) -> Fragment:
    if not isinstance(node, Mapping):
        raise InvalidFilter("a filter is an object with a type.")
    if not isinstance(node.get("type"), str):
        raise InvalidFilter(_TYPES)
    if node["type"] not in ("and", "or"):
        return _comparison(node, column)
    parts = node.get("filters")
    if depth >= MAX_DEPTH or not isinstance(parts, list) or not 0 < len(parts) <= MAX_CONDITIONS:
        raise InvalidFilter(f"'and' and 'or' hold 1 to {MAX_CONDITIONS} filters, nested at most {MAX_DEPTH} deep.")
    compiled = [_node(part, column, depth + 1) for part in parts]
    joined = f" {node['type'].upper()} ".join(sql for sql, _ in compiled)
    return f"({joined})", [parameter for _, parameters in compiled for parameter in parameters]


def _comparison(node: Mapping[str, Any], column: str) -> Fragment:
    kind, key, value = node.get("type"), node.get("key"), node.get("value")
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH or not storable(key):
        raise InvalidFilter(f"a comparison names its attribute by 'key', of 1 to {MAX_KEY_LENGTH} characters.")
    attribute = f"{column} -> %s"
    if kind in ("eq", "ne"):
        operator = "IS NOT DISTINCT FROM" if kind == "eq" else "IS DISTINCT FROM"
        return f"{attribute} {operator} %s::jsonb", [key, _literal(value)]
    if kind in _ORDER:
        return (
            f"(jsonb_typeof({attribute}) = '{_JSON_TYPES[_checked_type(value)]}' AND {attribute} {_ORDER[kind]} %s::jsonb)",
            [key, key, _literal(value)],
        )
    if kind in ("in", "nin"):
        if not isinstance(value, list) or not 0 < len(value) <= MAX_CONDITIONS:
            raise InvalidFilter(f"'{kind}' takes a list of 1 to {MAX_CONDITIONS} values.")
        sql = f"coalesce({attribute} = ANY (%s::jsonb[]), false)"
        return (sql if kind == "in" else f"NOT {sql}"), [key, [_literal(item) for item in value]]
    raise InvalidFilter(_TYPES)


def _checked_type(value: Any) -> type:
    if type(value) not in _JSON_TYPES or (isinstance(value, str) and not storable(value)):
        raise InvalidFilter("values are strings, numbers or booleans.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFilter("numbers are finite.")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise InvalidFilter("integers have at most 64 bits.")
    if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
        raise InvalidFilter(f"strings have at most {MAX_VALUE_LENGTH} characters, as attributes have.")
    return type(value)


def _literal(value: Any) -> str:
    _checked_type(value)
    return json.dumps(value)
