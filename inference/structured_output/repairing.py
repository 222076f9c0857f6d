"""The one repair attempt of an answer that does not match its schema."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tenants.errors import AtriumError

from ..providers.base import Prompt
from ..requests import ChatRequest
from .matching import Mismatch, mismatch

#: What the request for a repair adds to the prompt beside the answer itself, in bytes, the frames of two messages among it.
REPAIR_BYTES = 2_500
_CHECKED = ("stop", None)
_INSTRUCTION = (
    "Your answer does not match the JSON Schema that was asked for: {fault}. Write it again so that it does: the JSON "
    "alone, with nothing before or after it."
)


class InvalidStructuredOutput(AtriumError):
    """The model's answer does not match the schema of the request, nor did its repair."""

    status = 502
    type = "server_error"
    code = "invalid_structured_output"

    def __init__(self, fault: Mismatch, *, repaired: bool) -> None:
        tried = ", nor did it when the model was told so" if repaired else ""
        super().__init__(
            f"The model's answer does not match the schema that you asked for: {fault.shown}{tried}. What was used is "
            f"charged. Another try may help; so may a simpler schema or a more capable model.",
            param="response_format",
            headers={"x-should-retry": "false"},
        )


def strict_schema(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema that answers must match; None where none is asked for, or none strictly."""
    if response_format is None or response_format.get("type") != "json_schema":
        return None
    described = response_format["json_schema"]
    return described["schema"] if described.get("strict") else None


def may_be_repaired(request: ChatRequest) -> bool:
    """Whether a call may ask its model twice: its answer must match a schema, and nothing of it has left by then."""
    return not request.stream and strict_schema(request.response_format) is not None


def first_mismatch(schema: dict[str, Any], choices: Sequence[dict[str, Any]]) -> tuple[int, Mismatch] | None:
    """The first of an answer's choices that does not match, by its position, and what is wrong with it.

    A refusal, a call of a tool and a choice that was cut short are what they are; they are not checked.
    """
    for position, choice in enumerate(choices):
        message = choice.get("message") or {}
        if choice.get("finish_reason") not in _CHECKED or message.get("refusal") or message.get("tool_calls"):
            continue
        fault = mismatch(schema, str(message.get("content") or ""))
        if fault is not None:
            return position, fault
    return None


def repair_prompt(prompt: Prompt, choice: dict[str, Any], fault: Mismatch) -> Prompt:
    """The prompt that asks for one choice again. The answer stands in it as the model wrote it."""
    content = str((choice.get("message") or {}).get("content") or "")
    more = [
        {"role": "assistant", "content": content},
        {"role": "user", "content": _INSTRUCTION.format(fault=fault.told)},
    ]
    body = {name: value for name, value in prompt.body.items() if name not in ("n", "tools", "tool_choice")}
    body.pop("parallel_tool_calls", None)
    return replace(prompt, body={**body, "messages": [*prompt.body["messages"], *more]})
