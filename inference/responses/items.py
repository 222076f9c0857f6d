"""Items: what responses and conversations are made of. Checked on their way in, shown in the SDK's shapes.

An item's id is its response's with the last 16 bits replaced by the item's place: input from 0, output from `OUTPUT`.
So ids are the same however often they are worked out, and an item is found by its id without a table of items.
"""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from tenants.errors import InvalidRequest, NotFound
from tenants.ids import parse_public_id, public_id

from ..requests import Lenient, parse

MAX_ITEMS = 2048
#: The place of the first item of an answer.
OUTPUT = 0x8000
_PLACES = 0xFFFF
_PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "file_search_call": "fs_",
    "reasoning": "rs_",
}

Item = dict[str, Any]


class UnsupportedItem(InvalidRequest):
    """An item that Atrium cannot give to a model."""

    code = "unsupported_item"


class InputText(Lenient):
    """Text of a message."""

    type: Literal["input_text"]
    text: str


class InputImage(Lenient):
    """An image, by URL or as a data URL."""

    type: Literal["input_image"]
    image_url: str = Field(min_length=1)
    detail: Literal["low", "high", "auto", "original"] = "auto"


class OutputText(Lenient):
    """Text that a model said."""

    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, Any]] = []


class Refusal(Lenient):
    """What a model said instead."""

    type: Literal["refusal"]
    refusal: str


class MessageItem(Lenient):
    """One turn."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[dict[str, Any]]


class FunctionCall(Lenient):
    """A call that the model made of a function."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=128)
    arguments: str


class FunctionCallOutput(Lenient):
    """What the function answered."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=200)
    output: str | list[dict[str, Any]]


class SummaryText(Lenient):
    """A part of a summary of reasoning."""

    type: Literal["summary_text"]
    text: str


class ReasoningText(Lenient):
    """A part of the reasoning itself."""

    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(Lenient):
    """What the model thought; kept in its place, and not sent to the model again."""

    type: Literal["reasoning"]
    summary: list[SummaryText] = []
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class FileSearchCall(Lenient):
    """A search that an earlier answer made; kept in its place, and not sent to the model again."""

    type: Literal["file_search_call"]
    queries: list[str] = []
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "completed"
    results: list[dict[str, Any]] | None = None


class ItemReference(Lenient):
    """An item that stands elsewhere, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: str = Field(max_length=100)


_PLAIN: dict[str, type[Lenient]] = {
    "function_call": FunctionCall,
    "reasoning": ReasoningItem,
    "file_search_call": FileSearchCall,
    "item_reference": ItemReference,
}
_PARTS: dict[str, type[Lenient]] = {
    "input_text": InputText,
    "input_image": InputImage,
    "output_text": OutputText,
    "refusal": Refusal,
}
_SAID = frozenset({"output_text", "refusal"})


def normalised(given: str | list[dict[str, Any]], *, param: str, most: int = MAX_ITEMS) -> list[Item]:
    """Input in its full form: a list of items, each with its type, messages with their parts.

    Raises:
        InvalidRequest: naming the item and member at fault.
    """
    if isinstance(given, str):
        return [_message({"role": "user", "content": given}, param)]
    if len(given) > most:
        raise InvalidRequest(f"'{param}' holds {len(given)} items; at most {most} are allowed.", param=param)
    return [_normal(item, f"{param}.{position}") for position, item in enumerate(given)]


def _normal(item: dict[str, Any], where: str) -> Item:
    kind = item.get("type") or ("message" if "role" in item else "item_reference" if "id" in item else None)
    if kind == "message":
        return _message(item, where)
    if kind == "function_call_output":
        return _call_output(item, where)
    model = _PLAIN.get(str(kind))
    if model is None:
        known = ", ".join(sorted({*_PREFIXES, "item_reference"}))
        raise UnsupportedItem(f"Items of type '{kind}' are not supported. Supported: {known}.", param=f"{where}.type")
    return parse(model, {**item, "type": kind}, prefix=f"{where}.").model_dump(exclude_none=True)


def _message(item: dict[str, Any], where: str) -> Item:
    message = parse(MessageItem, item, prefix=f"{where}.")
    said = message.role == "assistant"
    if isinstance(message.content, str):
        text: Item = {"type": "output_text" if said else "input_text", "text": message.content}
        parts = [{**text, "annotations": []} if said else text]
    else:
        parts = [_part(part, f"{where}.content.{position}", said=said) for position, part in enumerate(message.content)]
    if not parts:
        raise InvalidRequest("A message needs content.", param=f"{where}.content")
    return {"type": "message", "role": message.role, "content": parts}


def _part(part: dict[str, Any], where: str, *, said: bool) -> Item:
    kind = part.get("type")
    if said and kind == "input_text":
        # Clients that hold a transcript of texts send an assistant's turn so.
        part, kind = {**part, "type": "output_text"}, "output_text"
    model = _PARTS.get(str(kind))
    if kind == "input_file" or (kind == "input_image" and part.get("file_id")):
        raise UnsupportedItem(
            "Files cannot be put into a message. Attach them to a vector store and search it with 'file_search'; send "
            "images by 'image_url', which may be a data URL.",
            param=where,
        )
    if model is None or (kind in _SAID) != said:
        role = "An assistant's" if said else "This"
        allowed = ", ".join(sorted(_SAID if said else _PARTS.keys() - _SAID))
        raise UnsupportedItem(f"{role} message may hold {allowed}, not '{kind}'.", param=f"{where}.type")
    return parse(model, part, prefix=f"{where}.").model_dump()


def _call_output(item: dict[str, Any], where: str) -> Item:
    answered = parse(FunctionCallOutput, item, prefix=f"{where}.")
    output: Any = answered.output
    if isinstance(output, list):
        output = [_output_part(part, f"{where}.output.{position}") for position, part in enumerate(output)]
    return {"type": "function_call_output", "call_id": answered.call_id, "output": output}


def _output_part(part: dict[str, Any], where: str) -> Item:
    if part.get("type") != "input_text":
        raise UnsupportedItem("A function's output may hold text: a string or 'input_text' parts.", param=where)
    return parse(InputText, part, prefix=f"{where}.").model_dump()


def item_id(response_id: UUID, place: int) -> UUID:
    """The id of an item of a response."""
    return UUID(int=(response_id.int & ~_PLACES) | place)


def response_range(item: UUID) -> tuple[UUID, UUID]:
    """The ids between which the response lies that an item belongs to."""
    return UUID(int=item.int & ~_PLACES), UUID(int=item.int | _PLACES)


def place_of(item: UUID) -> int:
    """An item's place in its response."""
    return item.int & _PLACES


def public_item_id(kind: str, item: UUID) -> str:
    """The id that clients see."""
    return public_id(_PREFIXES[kind], item)


def parse_item_id(text: str) -> UUID | None:
    """The UUID inside an item's public id; None where it is none."""
    return next((found for prefix in _PREFIXES.values() if (found := parse_public_id(prefix, text))), None)


def no_item(text: str, *, param: str = "input") -> NotFound:
    """What a missing item answers, and another tenant's."""
    return NotFound(f"Item with id '{text}' not found.", param=param)


def shown(item: Item, ident: UUID) -> Item:
    """An item as clients see it."""
    if item["type"] == "message" and item["role"] == "assistant":
        parts = [{"logprobs": [], **part} if part["type"] == "output_text" else part for part in item["content"]]
        item = {**item, "content": parts}
    return {"status": "completed", **item, "id": public_item_id(item["type"], ident)}
