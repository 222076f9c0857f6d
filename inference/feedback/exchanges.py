"""What was asked and answered, as chat messages, read from a generation's row."""

from dataclasses import dataclass
from typing import Any

from inference.models import Generation

#: What a message of an answer keeps; the rest (annotations, empty members) is no training's business.
_SAID = ("content", "refusal", "tool_calls")


@dataclass(frozen=True)
class Exchange:
    """The messages of a request, and one choice of its answer as an assistant message."""

    messages: list[dict[str, Any]]
    answer: dict[str, Any]
    tools: list[dict[str, Any]]
    parallel_tool_calls: bool


def exchange_of(row: Generation, choice: int) -> Exchange | None:
    """The exchange of a completed generation; None where it is no longer kept, or has no such choice."""
    if row.kind != Generation.Kind.CHAT or row.request is None or row.answer is None:
        return None
    choices = row.answer.get("choices") or []
    if choice >= len(choices):
        return None
    return Exchange(
        messages=row.request["messages"],
        answer=_answer(choices[choice]["message"]),
        # Those that the model was offered; a search's passages are not part of the exchange.
        tools=[tool for tool in row.request.get("tools") or () if tool.get("type") == "function"],
        parallel_tool_calls=row.request.get("parallel_tool_calls") is not False,
    )


def _answer(message: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", **{name: message[name] for name in _SAID if message.get(name)}}
