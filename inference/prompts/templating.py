"""Templates of text: `{{name}}` stands for a variable, everything else for itself.

There is nothing else to learn and nothing to escape from: no expressions, no conditions, no loops. A template is cut
into pieces once, and values are put between the pieces; what a value says is never looked at again, so `{{secret}}` in
a value stays these ten characters. `\\{{` writes two braces, and backslashes before braces are doubled to be meant
(`\\\\{{name}}` is a backslash and a value). In a run of braces the last two open: `{{{name}}}` is a value in braces.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tenants.errors import InvalidRequest

NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_OPENING = re.compile(r"(\\*)\{\{")
_REST = re.compile(rf"[ \t]*({NAME_PATTERN})[ \t]*\}}\}}")
_SHOWN = 30

Part = TypeVar("Part")


@dataclass(frozen=True)
class Placeholder:
    """Where the value of a variable goes."""

    name: str


class InvalidTemplate(InvalidRequest):
    """Two braces that open no placeholder."""

    code = "invalid_prompt_template"


@dataclass(frozen=True)
class Template:
    """A text cut into pieces: literal text and placeholders, in their order."""

    pieces: tuple[str | Placeholder, ...]

    @property
    def names(self) -> frozenset[str]:
        """The variables that it uses."""
        return frozenset(piece.name for piece in self.pieces if isinstance(piece, Placeholder))

    def fill(self, values: Mapping[str, Part]) -> "Sequence[str | Part]":
        """The pieces with values in the places of their placeholders, each value whole and by itself."""
        return [values[piece.name] if isinstance(piece, Placeholder) else piece for piece in self.pieces]


def compile_template(text: str, *, param: str) -> Template:
    """`text` as a template.

    Args:
        param: what to name in an error.

    Raises:
        InvalidTemplate: `{{` that neither opens a placeholder nor is written `\\{{`.
    """
    pieces: list[str | Placeholder] = []
    start = position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        slashes, rest = len(opening[1]), _REST.match(text, opening.end())
        literal = text[start : opening.start()] + "\\" * (slashes // 2)
        if slashes % 2:
            pieces.append(literal + "{{")
            start = position = opening.end()
        elif rest is not None:
            pieces += [literal, Placeholder(rest[1])]
            start = position = rest.end()
        elif text[opening.end() : opening.end() + 1] == "{":
            pieces.append(literal + "{")
            start = position = opening.end() - 1
        else:
            raise _unopened(text[opening.end() - 2 :], param)
    return Template(_joined([*pieces, text[start:]]))


def escape(text: str) -> str:
    """The template that says exactly `text`."""
    return _OPENING.sub(lambda found: found[1] * 2 + r"\{{", text)


def _unopened(text: str, param: str) -> InvalidTemplate:
    shown = text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")
    return InvalidTemplate(
        f"Invalid '{param}': '{shown}' is no placeholder. Write '{{{{name}}}}' with letters, digits and underscores, or "
        "'\\{{' where two braces are meant.",
        param=param,
    )


def _joined(pieces: Sequence[str | Placeholder]) -> tuple[str | Placeholder, ...]:
    """Neighbouring literals as one, empty ones left out."""
    joined: list[str | Placeholder] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return tuple(joined)
