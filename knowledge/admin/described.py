"""How the attributes and the groups of a file are written in a form: one a line.

An attribute is `name = value`. A value is a string unless JSON reads it as a number or a boolean; what would be
misread, or has more than a line, stands in quotation marks as JSON has it. Every attribute there can be survives it.
"""

import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from ..access import AllowedGroups

NOBODY = "(nobody)"


class _Lines(forms.Field):
    """Text of a few lines."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}), **kwargs)


class AttributesField(_Lines):
    """Text for a dictionary of strings, numbers and booleans."""

    def prepare_value(self, value: Any) -> Any:
        """What the field shows of a dictionary; what was typed stays as it is."""
        if not isinstance(value, dict):
            return value
        return "\n".join(f"{_written_name(name)} = {_written(item)}" for name, item in value.items())

    def to_python(self, value: Any) -> dict[str, Any]:
        """The dictionary.

        Raises:
            ValidationError: a line that is none, or a name that stands there twice.
        """
        found: dict[str, Any] = {}
        for line in (value or "").splitlines():
            if not line.strip():
                continue
            name, item = _read(line.strip())
            if name in found:
                raise forms.ValidationError(f"“{name}” stands there twice.")
            found[name] = item
        return found


class GroupsField(_Lines):
    """Text for the groups that find a file: none typed is everybody."""

    def prepare_value(self, value: Any) -> Any:
        """One a line."""
        return ("\n".join(value) or NOBODY) if isinstance(value, list) else value

    def to_python(self, value: Any) -> AllowedGroups:
        """As `allowed_groups` has them: sorted, each once."""
        groups = sorted({line.strip() for line in (value or "").splitlines() if line.strip()})
        return [] if groups == [NOBODY] else groups or None


def _written_name(name: str) -> str:
    return json.dumps(name) if name != name.strip() or "=" in name or not name.isprintable() or name[0] == '"' else name


def _written(item: Any) -> str:
    plain = isinstance(item, str) and item.isprintable() and _value(item) == item and item == item.strip()
    return item if plain else json.dumps(item)


def _read(line: str) -> tuple[str, Any]:
    name, rest = _quoted(line) if line.startswith('"') else _plain(line)
    return name, _value(rest.strip())


def _quoted(line: str) -> tuple[str, str]:
    try:
        name, end = json.JSONDecoder().raw_decode(line)
    except ValueError as error:
        raise forms.ValidationError(f"{line[:80]} begins with a quotation mark that has no end.") from error
    before, sign, rest = line[end:].partition("=")
    if before.strip() or not sign:
        raise forms.ValidationError(f"{line[:80]} has no “=” after its name.")
    return name, rest


def _plain(line: str) -> tuple[str, str]:
    name, sign, rest = line.partition("=")
    if not sign or not name.strip():
        raise forms.ValidationError(f"“{line[:80]}” is not written as name = value.")
    return name.strip(), rest


def _value(text: str) -> Any:
    """A number, a boolean or a quoted string as JSON has them; anything else is the string that it is."""
    try:
        value = json.loads(text, parse_constant=_refused)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float) else text


def _refused(constant: str) -> None:
    raise ValueError(constant)
