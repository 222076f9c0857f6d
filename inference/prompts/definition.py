"""What a version of a prompt says: messages with placeholders, typed variables, and defaults for the call.

`Definition` is checked when a version is made, so that a stored one always renders: every placeholder has its
variable, images and files stand in user messages only. `messages_of` is rendering, pure: a definition and values in,
chat messages out. Values are put into the message they stand in, as text or as a part of their own; they are never
read as a template and cannot begin another message.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tenants.errors import InvalidRequest

from .templating import NAME_PATTERN, InvalidTemplate, Template, compile_template
from .variables import PART_TYPES, ContentPart, Variable, read_values

#: What a version may hold, and what rendering may make of it (as much as a request's body), in bytes.
MAX_DEFINITION_BYTES, MAX_RENDERED_BYTES = 400_000, 20 * 1024 * 1024


class PromptTooLarge(InvalidRequest):
    """A version, or what becomes of it with these values, is too large."""

    code = "prompt_too_large"


class MessageTemplate(BaseModel):
    """One message; `{{name}}` stands for a variable, `\\{{` for two braces."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str = Field(min_length=1, max_length=200_000)


class Defaults(BaseModel):
    """What a call gets that does not say otherwise; names as in chat completions."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, min_length=1, max_length=200)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    stop: list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] | None = Field(
        default=None, max_length=4
    )
    reasoning_effort: str | None = Field(default=None, max_length=20)
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=128)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None

    def given(self) -> dict[str, Any]:
        """Those that are set."""
        return self.model_dump(exclude_none=True)


class Definition(BaseModel):
    """The content of a version."""

    model_config = ConfigDict(extra="forbid")

    messages: list[MessageTemplate] = Field(min_length=1, max_length=64)
    variables: dict[Annotated[str, StringConstraints(pattern=rf"^{NAME_PATTERN}$")], Variable] = Field(
        default_factory=dict, max_length=100
    )
    defaults: Defaults = Field(default_factory=Defaults)

    @model_validator(mode="after")
    def _holds_together(self) -> "Definition":
        for position, (message, template) in enumerate(zip(self.messages, self.templates, strict=True)):
            for name in sorted(template.names):
                self._check_use(name, message, f"messages.{position}.content")
        if len(orjson.dumps(self.model_dump())) > MAX_DEFINITION_BYTES:
            raise PromptTooLarge(f"A version may have at most {MAX_DEFINITION_BYTES} bytes.")
        return self

    def _check_use(self, name: str, message: MessageTemplate, param: str) -> None:
        variable = self.variables.get(name)
        if variable is None:
            raise InvalidTemplate(f"Invalid '{param}': '{name}' is not among the prompt's variables.", param=param)
        if isinstance(variable, PART_TYPES) and message.role != "user":
            raise InvalidTemplate(f"Invalid '{param}': {variable.type}s stand in user messages only.", param=param)

    @cached_property
    def templates(self) -> Sequence[Template]:
        """One for each message."""
        return [
            compile_template(message.content, param=f"messages.{position}.content")
            for position, message in enumerate(self.messages)
        ]

    def stored(self) -> dict[str, Any]:
        """For the row: what is not given is left out."""
        return self.model_dump(exclude_none=True)


def messages_of(definition: Definition, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chat messages that a prompt makes of `values`.

    Raises:
        InvalidVariable: a value is unknown, missing or breaks a rule.
        PromptTooLarge: they would have more than 20 MiB.
    """
    written = read_values(definition.variables, values)
    _check_size(definition, written)
    return [
        {"role": message.role, "content": _content(template.fill(written))}
        for message, template in zip(definition.messages, definition.templates, strict=True)
    ]


def _check_size(definition: Definition, written: Mapping[str, str | ContentPart]) -> None:
    """Before anything is put together: a value may stand in a message a thousand times."""
    sizes = {name: len(str(value).encode()) for name, value in written.items()}
    size = sum(
        len(piece.encode()) if isinstance(piece, str) else sizes[piece.name]
        for template in definition.templates
        for piece in template.pieces
    )
    if size > MAX_RENDERED_BYTES:
        raise PromptTooLarge(
            f"With these variables the prompt has {size} bytes; it may have {MAX_RENDERED_BYTES}.",
            param="prompt.variables",
        )


def _content(pieces: Sequence[str | ContentPart]) -> str | list[ContentPart]:
    """Text; where it holds images or files, the parts of a message in their order."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(map(str, pieces))
    return list(_parts(pieces))


def _parts(pieces: Sequence[str | ContentPart]) -> Iterator[ContentPart]:
    text = ""
    for piece in [*pieces, {}]:
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield {"type": "text", "text": text}
            text = ""
        if piece:
            yield piece
