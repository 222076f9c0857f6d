"""What a call names, `prompt: {id, version, variables}`, made into messages.

The version that a label or number means is remembered for `REMEMBER_SECONDS` in each process, counted from before it
was looked up: a moved label or a deleted prompt takes effect everywhere within that time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tenants.errors import InvalidRequest
from tenants.ids import parse_public_id, public_id
from tenants.scope import current_tenant

from .definition import Definition, messages_of
from .library import PREFIX, PromptNotFound, get_version

REMEMBER_SECONDS = 3.0
#: What a call means that names no version.
DEFAULT_LABEL = "production"
_MOST_REMEMBERED = 5_000


@dataclass(frozen=True)
class Reference:
    """A prompt, a version of it (number or label), and the values of its variables."""

    prompt_id: UUID
    version: str
    variables: Mapping[str, Any]

    @classmethod
    def read(cls, data: Any) -> "Reference":
        """The reference that a request's member `prompt` is.

        Raises:
            InvalidRequest: it is none.
            PromptNotFound: its id cannot be one of a prompt.
        """
        if not isinstance(data, dict) or not isinstance(data.get("id"), str):
            raise InvalidRequest("Invalid 'prompt': must be an object with the 'id' of a prompt.", param="prompt.id")
        prompt_id = parse_public_id(PREFIX, data["id"])
        if prompt_id is None:
            raise PromptNotFound("No such prompt.", param="prompt.id")
        return cls(prompt_id, _version(data.get("version")), _variables(data.get("variables")))


@dataclass(frozen=True)
class Expanded:
    """What a reference stands for. `messages` go before the request's own; `defaults` fill what it leaves out."""

    messages: list[dict[str, Any]]
    defaults: dict[str, Any]
    prompt_id: UUID
    version_id: UUID
    number: int

    @property
    def public_id(self) -> str:
        """The prompt's id as clients know it."""
        return public_id(PREFIX, self.prompt_id)


@dataclass(frozen=True)
class _Found:
    """A version as it is remembered."""

    definition: Definition
    version_id: UUID
    number: int


_remembered: dict[tuple[UUID, UUID, str], tuple[_Found, float]] = {}


def expand(reference: Reference, *, now: float) -> Expanded:
    """The messages and defaults of a prompt of the current tenant.

    Args:
        now: seconds of a clock that only goes forward, by which versions are remembered.

    Raises:
        PromptNotFound: no such prompt, version or label (404).
        InvalidVariable: an unknown or missing variable, or one that breaks a rule (400, naming both).
        PromptTooLarge: the messages would be too long.
    """
    found = _find(reference, now)
    return Expanded(
        messages=messages_of(found.definition, reference.variables),
        defaults=found.definition.defaults.given(),
        prompt_id=reference.prompt_id,
        version_id=found.version_id,
        number=found.number,
    )


def forget_prompts() -> None:
    """Drop what this process remembers."""
    _remembered.clear()


def _find(reference: Reference, now: float) -> _Found:
    key = (current_tenant(), reference.prompt_id, reference.version)
    known = _remembered.get(key)
    if known is not None and now < known[1]:
        return known[0]
    try:
        row = get_version(prompt_id=reference.prompt_id, version=reference.version, param="prompt.version")
    except PromptNotFound as error:
        error.param = error.param or "prompt.id"
        raise
    found = _Found(Definition.model_validate(row.definition), row.id, row.number)
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[key] = (found, now + REMEMBER_SECONDS)
    return found


def _version(value: Any) -> str:
    """As the SDK sends it, a string; a whole number is understood too."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and (not isinstance(value, str) or len(value) > 64):
        raise InvalidRequest("Invalid 'prompt.version': must be a number or a label.", param="prompt.version")
    return value or DEFAULT_LABEL


def _variables(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest("Invalid 'prompt.variables': must be an object.", param="prompt.variables")
    return value or {}
