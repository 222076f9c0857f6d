"""Variables of a prompt: their types and rules, and what a value becomes in a message: text, or an image or file part.

The SDK sends values as strings or as `input_text`, `input_image`, `input_file` objects; other clients send JSON. Both
are taken: `"5"` and `5` are the integer 5. What breaks a rule is refused with the variable's name and the rule's.
"""

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tenants.errors import InvalidRequest

from .patterns import MAX_PATTERN_LENGTH, InvalidPattern, TooSlow, check_pattern, matches

#: Characters that the value of one variable may have, whatever its own rule says.
MAX_VALUE_LENGTH = 200_000
_LARGEST = 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")

ContentPart = dict[str, Any]


class InvalidVariable(InvalidRequest):
    """A variable is unknown, missing or breaks its rule; `variable` and `rule` say which."""

    code = "invalid_prompt_variable"

    def __init__(self, name: str, rule: str, problem: str) -> None:
        super().__init__(
            f"Invalid variable '{name}': {problem}.",
            param=f"prompt.variables.{name}",
            data={"variable": name, "rule": rule},
        )


class Broken(Exception):
    """A value breaks a rule: `rule`, and what the rule asks."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(problem)
        self.rule = rule


class _Variable(BaseModel):
    """What all types have in common."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = Field(default="", max_length=500)
    required: bool = Field(default=True, description="Must be given, unless there is a default. If not: empty.")

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value as its type has it.

        Raises:
            Broken: it breaks a rule.
        """

    @abstractmethod
    def write(self, value: Any) -> str | ContentPart:
        """A value that was read, as it stands in a message."""

    @property
    def fallback(self) -> Any:
        """The default; None where there is none."""
        return getattr(self, "default", None)

    @model_validator(mode="after")
    def _default_keeps_the_rules(self) -> "_Variable":
        self._check_rules()
        if self.fallback is not None:
            try:
                self.read(self.fallback)
            except Broken as error:
                raise ValueError(f"the default breaks the rule '{error.rule}': it {error}") from error
        return self

    def _check_rules(self) -> None:
        """Nothing where the rules themselves make sense; else ValueError."""


class StringVariable(_Variable):
    """Text, put in as it is."""

    type: Literal["string"]
    default: str | None = None
    min_length: int = Field(default=0, ge=0, le=MAX_VALUE_LENGTH)
    max_length: int = Field(default=MAX_VALUE_LENGTH, ge=1, le=MAX_VALUE_LENGTH)
    pattern: str | None = Field(
        default=None,
        max_length=MAX_PATTERN_LENGTH,
        description="A regular expression without look-around and backreferences, for the whole value.",
    )

    def _check_rules(self) -> None:
        if self.min_length > self.max_length:
            raise ValueError("min_length is above max_length")
        if self.pattern is not None:
            try:
                check_pattern(self.pattern)
            except InvalidPattern as error:
                raise ValueError(f"the pattern cannot be used: {error}") from error

    def read(self, value: Any) -> str:
        """See `_Variable.read`."""
        text = _text(value)
        if len(text) < self.min_length:
            raise Broken("min_length", f"must have at least {self.min_length} characters, has {len(text)}")
        if len(text) > self.max_length:
            raise Broken("max_length", f"must have at most {self.max_length} characters, has {len(text)}")
        if self.pattern is not None:
            self._match(self.pattern, text)
        return text

    @staticmethod
    def _match(pattern: str, text: str) -> None:
        try:
            matching = matches(pattern, text)
        except TooSlow as error:
            raise Broken("pattern", "takes too long to compare with its pattern") from error
        if not matching:
            raise Broken("pattern", f"must match the pattern {pattern}")

    def write(self, value: str) -> str:
        """As it is."""
        return value


class _Bounded(_Variable):
    """Numbers with bounds."""

    minimum: float | None = None
    maximum: float | None = None

    def _check_rules(self) -> None:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")

    def _within(self, value: Any) -> Any:
        if self.minimum is not None and value < self.minimum:
            raise Broken("minimum", f"must be at least {_number(self.minimum)}")
        if self.maximum is not None and value > self.maximum:
            raise Broken("maximum", f"must be at most {_number(self.maximum)}")
        return value

    def write(self, value: Any) -> str:
        """In digits."""
        return _number(value)


class IntegerVariable(_Bounded):
    """A whole number of at most 64 bits."""

    type: Literal["integer"]
    default: int | None = None

    def read(self, value: Any) -> int:
        """See `_Variable.read`."""
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
            raise Broken("type", "must be an integer")
        return self._within(value)


class NumberVariable(_Bounded):
    """A number."""

    type: Literal["number"]
    default: float | None = None

    def read(self, value: Any) -> float:
        """See `_Variable.read`."""
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
            raise Broken("type", "must be a number")
        return self._within(value)


class BooleanVariable(_Variable):
    """`true` or `false`."""

    type: Literal["boolean"]
    default: bool | None = None

    def read(self, value: Any) -> bool:
        """See `_Variable.read`."""
        found = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
        if not isinstance(found, bool):
            raise Broken("type", "must be true or false")
        return found

    def write(self, value: bool) -> str:
        """As JSON has it."""
        return "true" if value else "false"


class EnumVariable(_Variable):
    """One of several texts."""

    type: Literal["enum"]
    values: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(min_length=1, max_length=200)
    default: str | None = None

    def read(self, value: Any) -> str:
        """See `_Variable.read`."""
        text = _text(value)
        if text not in self.values:
            shown = ", ".join(self.values[:10]) + (", …" if len(self.values) > 10 else "")
            raise Broken("values", f"must be one of: {shown}")
        return text

    def write(self, value: str) -> str:
        """As it is."""
        return value


class StringArrayVariable(_Variable):
    """A list of texts; written as a JSON array, so that no item can pass for two."""

    type: Literal["string_array"]
    default: list[str] | None = None
    min_items: int = Field(default=0, ge=0, le=1000)
    max_items: int = Field(default=1000, ge=1, le=1000)
    max_length: int = Field(default=MAX_VALUE_LENGTH, ge=1, le=MAX_VALUE_LENGTH, description="Of each item.")

    def _check_rules(self) -> None:
        if self.min_items > self.max_items:
            raise ValueError("min_items is above max_items")

    def read(self, value: Any) -> list[str]:
        """See `_Variable.read`."""
        items = _parsed(value) if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise Broken("type", "must be a list of strings")
        if len(items) < self.min_items:
            raise Broken("min_items", f"must have at least {self.min_items} items, has {len(items)}")
        if len(items) > self.max_items:
            raise Broken("max_items", f"must have at most {self.max_items} items, has {len(items)}")
        if any(len(item) > self.max_length for item in items):
            raise Broken("max_length", f"must have items of at most {self.max_length} characters")
        return items

    def write(self, value: list[str]) -> str:
        """As JSON."""
        return _json(value)


class JsonVariable(_Variable):
    """Any JSON but null; a string is read as JSON text."""

    type: Literal["json"]
    default: Any = None
    max_length: int = Field(default=MAX_VALUE_LENGTH, ge=2, le=MAX_VALUE_LENGTH, description="Of its text.")

    def read(self, value: Any) -> Any:
        """See `_Variable.read`."""
        found = _parsed(value) if isinstance(value, str) else value
        if len(_json(found)) > self.max_length:
            raise Broken("max_length", f"must have at most {self.max_length} characters as JSON")
        return found

    def write(self, value: Any) -> str:
        """As JSON, without spaces."""
        return _json(value)


class ImageVariable(_Variable):
    """An `input_image` with an `image_url` (an address, or the image itself as a data URL); in user messages only."""

    type: Literal["image"]

    def read(self, value: Any) -> ContentPart:
        """See `_Variable.read`."""
        item = _item(value, "input_image")
        url, detail = item.get("image_url"), item.get("detail")
        if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
            raise Broken("image_url", "must have an 'image_url': an http(s) address or a data URL")
        if detail not in (None, "auto", "low", "high"):
            raise Broken("detail", "must have 'auto', 'low' or 'high' as its 'detail'")
        return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}

    def write(self, value: ContentPart) -> ContentPart:
        """A part of its own."""
        return value


class FileVariable(_Variable):
    """An `input_file` with `file_data` (a data URL) or a `file_id`; in user messages only."""

    type: Literal["file"]

    def read(self, value: Any) -> ContentPart:
        """See `_Variable.read`."""
        item = _item(value, "input_file")
        given = {name: item[name] for name in ("file_data", "file_id", "filename") if item.get(name) is not None}
        if not all(isinstance(text, str) for text in given.values()):
            raise Broken("type", "must have strings as its members")
        if len(given.keys() & {"file_data", "file_id"}) != 1:
            raise Broken("file_data", "must have either 'file_data' or 'file_id'")
        return {"type": "file", "file": given}

    def write(self, value: ContentPart) -> ContentPart:
        """A part of its own."""
        return value


Variable = Annotated[
    StringVariable
    | IntegerVariable
    | NumberVariable
    | BooleanVariable
    | EnumVariable
    | StringArrayVariable
    | JsonVariable
    | ImageVariable
    | FileVariable,
    Field(discriminator="type"),
]
#: Types whose values are parts of a message, not text.
PART_TYPES = (ImageVariable, FileVariable)


def read_values(variables: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str | ContentPart]:
    """What stands in a message for each of `variables`, from the values that a caller gave.

    Null is as if nothing were given. A variable that need not be given and has no default is empty.

    Raises:
        InvalidVariable: an unknown one, one that is missing, or one that breaks a rule.
    """
    for name in given:
        if name not in variables:
            known = ", ".join(sorted(variables)) or "none"
            raise InvalidVariable(str(name)[:64], "unknown", f"the prompt does not have it. It has: {known}")
    return {name: _read_one(name, variable, given.get(name)) for name, variable in variables.items()}


def _read_one(name: str, variable: Any, value: Any) -> str | ContentPart:
    value = variable.fallback if value is None else value
    if value is None:
        if variable.required:
            raise InvalidVariable(name, "required", "it is required")
        return ""
    try:
        return variable.write(variable.read(value))
    except Broken as error:
        raise InvalidVariable(name, error.rule, f"it {error}") from error


def _text(value: Any) -> str:
    """A string, or the text of an `input_text`."""
    text = _item(value, "input_text").get("text") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise Broken("type", "must be a string")
    if len(text) > MAX_VALUE_LENGTH:
        raise Broken("max_length", f"must have at most {MAX_VALUE_LENGTH} characters, has {len(text)}")
    return text


def _item(value: Any, kind: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("type") != kind:
        raise Broken("type", f"must be an object of type '{kind}'")
    return value


def _parsed(text: str) -> Any:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Broken("type", f"must be JSON: {error}") from error
    if found is None:
        raise Broken("type", "must not be null")
    return found


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise Broken("type", f"cannot be written as JSON: {error}") from error


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 2**53 else repr(value)
