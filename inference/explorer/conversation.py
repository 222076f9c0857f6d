"""What was asked and answered, as turns that a page can show: a role, its text, and what else it held."""

import json
from dataclasses import dataclass
from typing import Any

from tenants.errors import AtriumError

from ..models import Generation
from ..requests import Message
from ..responses.asking import StoredRequest, chat_of

_IMAGES = ("image_url", "input_image")


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation. `notes` say what it held beside text."""

    role: str
    text: str
    notes: tuple[str, ...] = ()


def asked_of(row: Generation) -> list[Turn]:
    """What the model was given to answer, oldest first; of a response with what came before, where that is kept."""
    request = row.request or {}
    if row.kind == Generation.Kind.EMBEDDINGS:
        given = request.get("input")
        texts = given if isinstance(given, list) else [given]
        return [Turn("text to embed", text if isinstance(text, str) else json.dumps(text)) for text in texts]
    if row.kind == Generation.Kind.RESPONSE:
        return _of_response(row)
    return [_turn(message) for message in request.get("messages") or ()]


def _of_response(row: Generation) -> list[Turn]:
    groups = frozenset((row.terms or {}).get("groups") or ())
    try:
        asked = chat_of(StoredRequest.model_validate(row.request), groups=groups)
    except AtriumError:  # What it went on from is no longer kept: its own input is.
        return [_item(item) for item in (row.request or {}).get("input") or ()]
    return [_message(message) for message in asked.chat.messages]


def _message(message: Message) -> Turn:
    return _turn(message.model_dump(exclude_none=True))


def _turn(message: dict[str, Any]) -> Turn:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    text = content if isinstance(content, str) else "\n".join(str(part["text"]) for part in parts if part.get("text"))
    images = sum(part.get("type") in _IMAGES for part in parts)
    notes = [f"{images} image{'s' if images > 1 else ''}"] if images else []
    return Turn(str(message.get("role", "")), text, (*notes, *_calls(message)))


def _calls(message: dict[str, Any]) -> list[str]:
    functions = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    return [f"called {function.get('name')}({function.get('arguments', '')})" for function in functions]


def _item(item: dict[str, Any]) -> Turn:
    if item.get("type") == "message":
        return _turn(item)
    return Turn(str(item.get("type", "")).replace("_", " "), json.dumps(item, ensure_ascii=False))


def answered_of(row: Generation) -> list[Turn]:
    """What the model answered, one turn for each choice or item."""
    answer = row.answer or {}
    if row.kind == Generation.Kind.RESPONSE:
        return [_output(item) for item in answer.get("output") or ()]
    return [_choice(choice) for choice in answer.get("choices") or ()]


def _choice(choice: dict[str, Any]) -> Turn:
    turn = _turn({"role": "assistant", **(choice.get("message") or {})})
    reason = choice.get("finish_reason")
    cut = {"length": "cut off at the longest answer allowed", "content_filter": "stopped by a safety screen"}
    return Turn(turn.role, turn.text, (*turn.notes, *([cut[reason]] if reason in cut else [])))


def _output(item: dict[str, Any]) -> Turn:
    if item.get("type") == "message":
        parts = item.get("content") or ()
        return Turn("assistant", "".join(str(part.get("text") or part.get("refusal") or "") for part in parts))
    if item.get("type") == "function_call":
        return Turn("assistant", "", (f"called {item.get('name')}({item.get('arguments', '')})",))
    if item.get("type") == "file_search_call":
        return Turn("file search", "\n".join(map(str, item.get("queries") or ())))
    return Turn(str(item.get("type", "")).replace("_", " "), "")
