"""A kept answer as a provider would give it, so that the form of the request writes it as it writes any other."""

from collections.abc import Iterator
from typing import Any

from ..providers.base import Chunk, Completion


def as_stream(kept: Completion) -> Iterator[Chunk]:
    """The answer in two parts: what was said, and how it ended with the usage."""
    said = [
        {"index": choice["index"], "delta": _delta(choice["message"]), **_logprobs(choice)} for choice in kept.choices
    ]
    ends = [
        {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]} for choice in kept.choices
    ]
    yield Chunk([said])
    yield Chunk([ends], kept.usage)


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    """A message as one delta; tool calls are numbered there."""
    delta = {name: value for name, value in message.items() if value is not None}
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(delta["tool_calls"])]
    return delta


def _logprobs(choice: dict[str, Any]) -> dict[str, Any]:
    return {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
