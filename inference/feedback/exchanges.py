"""What was asked and answered, as chat messages, read from a generation's row."""

from dataclasses import dataclass
from typing import Any

from inference.models import Feedback, Generation
from inference.responses.asking import StoredRequest, chat_of
from tenants.errors import AtriumError
from tenants.scope import tenant_scope

#: What a message of an answer keeps; the rest (annotations, empty members) is no training's business.
_SAID = ("content", "refusal", "tool_calls")


@dataclass(frozen=True)
class Exchange:
    """The messages of a request, and one choice of its answer as an assistant message."""

    messages: list[dict[str, Any]]
    answer: dict[str, Any]
    tools: list[dict[str, Any]]
    parallel_tool_calls: bool


def exchange_about(row: Feedback) -> Exchange | None:
    """The exchange that a feedback of the current tenant is about; None where it is no longer kept."""
    with tenant_scope():
        answer = Generation.objects.filter(id=row.generation_id).first()
    return exchange_of(answer, row.choice) if answer is not None else None


def exchange_of(row: Generation, choice: int) -> Exchange | None:
    """The exchange of a completed generation; None where it is no longer kept, or has no such choice.

    A response's has all that came before it, as long as that is kept.
    """
    if row.request is None or row.answer is None:
        return None
    if row.kind == Generation.Kind.RESPONSE:
        return _of_response(row)
    choices = row.answer.get("choices") or []
    if choice >= len(choices):
        return None
    return _exchange(row.request, _chat_answer(choices[choice]["message"]))


def _of_response(row: Generation) -> Exchange | None:
    groups = frozenset((row.terms or {}).get("groups") or ())
    try:
        asked = chat_of(StoredRequest.model_validate(row.request), groups=groups)
    except AtriumError:  # What came before it has gone.
        return None
    answer = row.answer or {}
    return _exchange(asked.chat.model_dump(exclude_none=True), _response_answer(answer.get("output") or []))


def _exchange(request: dict[str, Any], answer: dict[str, Any]) -> Exchange:
    return Exchange(
        messages=request["messages"],
        answer=answer,
        # Those that the model was offered; a search's passages are not part of the exchange.
        tools=[tool for tool in request.get("tools") or () if tool.get("type") == "function"],
        parallel_tool_calls=request.get("parallel_tool_calls") is not False,
    )


def _chat_answer(message: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", **{name: message[name] for name in _SAID if message.get(name)}}


def _response_answer(output: list[dict[str, Any]]) -> dict[str, Any]:
    """The items of a response's output as one message: what it said, and the functions that it called."""
    parts = [part for item in output if item.get("type") == "message" for part in item.get("content") or ()]
    calls = [
        {"id": item["call_id"], "type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}
        for item in output
        if item.get("type") == "function_call"
    ]
    said = {
        "content": "".join(part.get("text") or "" for part in parts),
        "refusal": "".join(part.get("refusal") or "" for part in parts),
        "tool_calls": calls,
    }
    return _chat_answer(said)
