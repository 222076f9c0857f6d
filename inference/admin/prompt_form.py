"""A prompt's version as a form: messages, a row for each variable, defaults; from and to `Definition`.

Rules of a variable and defaults of the call that the form has no field for travel in hidden fields, and are kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from tenants.errors import InvalidRequest

from ..prompts.definition import Definition
from ..requests import parse

ROLES = {"system": "System", "developer": "Developer", "user": "User", "assistant": "Assistant"}
TYPES = {
    "string": "Text",
    "integer": "Whole number",
    "number": "Number",
    "boolean": "Yes or no",
    "enum": "One of several",
    "string_array": "List of texts",
    "json": "JSON",
    "image": "Image",
    "file": "File",
}
#: What the form shows of a variable and of the defaults; the rest is carried along.
_SHOWN_RULES = ("type", "default", "description", "required", "values")
_SHOWN_DEFAULTS = ("model", "temperature", "max_completion_tokens")


@dataclass(frozen=True)
class VariableRow:
    """One variable, as the form shows it; `rest` are its other rules as JSON."""

    name: str
    type: str = "string"
    default: str = ""
    description: str = ""
    required: bool = True
    values: str = ""
    rest: str = "{}"


@dataclass(frozen=True)
class Draft:
    """What the form shows."""

    messages: Sequence[Mapping[str, str]]
    variables: Sequence[VariableRow]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    rest: str = "{}"
    note: str = ""


NEW = Draft(messages=[{"role": "system", "content": ""}], variables=[])


def draft_of(definition: Mapping[str, Any]) -> Draft:
    """A stored version in the form."""
    defaults = definition.get("defaults") or {}
    return Draft(
        messages=definition["messages"],
        variables=[_row(name, rules) for name, rules in (definition.get("variables") or {}).items()],
        defaults={name: defaults[name] for name in _SHOWN_DEFAULTS if name in defaults},
        rest=json.dumps({name: value for name, value in defaults.items() if name not in _SHOWN_DEFAULTS}),
    )


def _row(name: str, rules: Mapping[str, Any]) -> VariableRow:
    default = rules.get("default")
    return VariableRow(
        name=name,
        type=rules["type"],
        default="" if default is None else default if isinstance(default, str) else json.dumps(default),
        description=rules.get("description", ""),
        required=rules.get("required", True),
        values="\n".join(rules.get("values", [])),
        rest=json.dumps({key: value for key, value in rules.items() if key not in _SHOWN_RULES}),
    )


def typed(post: QueryDict) -> Draft:
    """What was typed, whatever it is worth."""
    messages = [
        {"role": role, "content": content}
        for role, content in zip(post.getlist("role"), post.getlist("content"), strict=False)
    ]
    columns = ("name", "type", "default", "description", "values", "rest", "required")
    rows = zip(*(post.getlist(f"variable_{column}") for column in columns), strict=False)
    defaults = {name: value for name in _SHOWN_DEFAULTS if (value := post.get(f"default_{name}", "").strip())}
    return Draft(
        messages=messages or NEW.messages,
        variables=[
            VariableRow(name, kind, default, about, values=values, rest=rest, required=required == "yes")
            for name, kind, default, about, values, rest, required in rows
            if name
        ],
        defaults=defaults,
        rest=post.get("defaults_rest") or "{}",
        note=post.get("note", "").strip()[:500],
    )


def definition_of(draft: Draft) -> Definition:
    """What the form says, checked.

    Raises:
        InvalidRequest: naming what is wrong, in the words of the form.
    """
    messages = [message for message in draft.messages if message["content"].strip()]
    if not messages:
        raise InvalidRequest("Write at least one message.", param="messages")
    variables = {row.name: _rules(row) for row in draft.variables}
    defaults = {**_json(draft.rest), **draft.defaults}
    return parse(Definition, json.dumps({"messages": messages, "variables": variables, "defaults": defaults}).encode())


def _rules(row: VariableRow) -> dict[str, Any]:
    rules = {**_json(row.rest), "type": row.type, "description": row.description}
    if row.type == "enum":
        rules["values"] = [line.strip() for line in row.values.splitlines() if line.strip()]
    if row.default.strip():
        rules["default"] = _default(row)
    return rules if row.required else {**rules, "required": False}


def _default(row: VariableRow) -> Any:
    """The default as its type writes it; what does not fit is refused where the definition is checked."""
    if row.type in ("string", "enum"):
        return row.default
    try:
        return json.loads(row.default)
    except ValueError as error:
        raise InvalidRequest(
            f"The default of '{row.name}' is no {TYPES.get(row.type, row.type).lower()}: {row.default}", param=row.name
        ) from error


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidRequest("The form is broken. Reload the page.") from error
    return found if isinstance(found, dict) else {}
