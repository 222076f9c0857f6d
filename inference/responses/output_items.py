"""The items of an answer as they grow, and the events that tell of them, in the SDK's names and order.

An item is added, grows, and is done. A message and a chain of thought end where another item begins; calls of functions
stay open until the answer ends, because upstreams write several of them in turns. Events carry no sequence number yet.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from .items import OUTPUT, Item, item_id, public_item_id

Event = dict[str, Any]
Cite = Callable[[str], list[dict[str, Any]]]


class _Item(ABC):
    """One item under way."""

    kind = ""

    def __init__(self, response_id: UUID, index: int) -> None:
        self.index = index
        self.id = public_item_id(self.kind, item_id(response_id, OUTPUT + index))
        self.ended: str | None = None  # its last status

    @abstractmethod
    def shape(self, status: str) -> Item:
        """The item as it is now."""

    @abstractmethod
    def parts(self, status: str) -> Iterator[Event]:
        """The events between the last growth and the item's end."""

    def added(self) -> Event:
        """Its first event."""
        return {"type": "response.output_item.added", "output_index": self.index, "item": self.shape("in_progress")}

    def close(self, status: str) -> Iterator[Event]:
        """Its last events."""
        self.ended = status
        yield from self.parts(status)
        yield {"type": "response.output_item.done", "output_index": self.index, "item": self.shape(status)}

    def _event(self, event: str, /, **members: Any) -> Event:
        return {"type": f"response.{event}", "item_id": self.id, "output_index": self.index, **members}


class _Call(_Item):
    """A call of a function."""

    kind = "function_call"

    def __init__(self, response_id: UUID, index: int, call: dict[str, Any]) -> None:
        super().__init__(response_id, index)
        function = call.get("function") or {}
        self.call_id = str(call.get("id") or f"call_{self.id.partition('_')[2]}")
        self.name = str(function.get("name") or "")
        self.arguments = ""

    def shape(self, status: str) -> Item:
        return {
            "id": self.id, "type": "function_call", "status": status, "call_id": self.call_id, "name": self.name,
            "arguments": "" if status == "in_progress" else self.arguments,
        }  # fmt: skip

    def grow(self, arguments: str) -> Event:
        """More of its arguments."""
        self.arguments += arguments
        return self._event("function_call_arguments.delta", delta=arguments)

    def parts(self, status: str) -> Iterator[Event]:
        yield self._event("function_call_arguments.done", name=self.name, arguments=self.arguments)


class _Reasoning(_Item):
    """What the model thought, where the upstream shows it."""

    kind = "reasoning"

    def __init__(self, response_id: UUID, index: int) -> None:
        super().__init__(response_id, index)
        self.text = ""

    def shape(self, status: str) -> Item:
        content = [{"type": "reasoning_text", "text": self.text}] if self.text and status != "in_progress" else []
        return {"id": self.id, "type": "reasoning", "status": status, "summary": [], "content": content}

    def grow(self, text: str) -> Iterator[Event]:
        """More of the thought."""
        if not self.text:
            part = {"type": "reasoning_text", "text": ""}
            yield self._event("content_part.added", content_index=0, part=part)
        self.text += text
        yield self._event("reasoning_text.delta", content_index=0, delta=text)

    def parts(self, status: str) -> Iterator[Event]:
        yield self._event("reasoning_text.done", content_index=0, text=self.text)
        part = {"type": "reasoning_text", "text": self.text}
        yield self._event("content_part.done", content_index=0, part=part)


class _Message(_Item):
    """What the model said: text or a refusal, each a part."""

    kind = "message"

    def __init__(self, response_id: UUID, index: int, cite: Cite) -> None:
        super().__init__(response_id, index)
        self._cite = cite
        self._parts: list[Item] = []

    def shape(self, status: str) -> Item:
        content = [] if status == "in_progress" else self._parts
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def grow(self, kind: str, text: str, logprobs: list[Item]) -> Iterator[Event]:
        """More of its text (`output_text`) or refusal."""
        if not self._parts or self._parts[-1]["type"] != kind:
            yield from self._end_part()
            self._parts.append(_empty(kind))
            yield self._part_event("content_part.added", part=_empty(kind))
        part = self._parts[-1]
        if kind == "refusal":
            part["refusal"] += text
            yield self._part_event("refusal.delta", delta=text)
            return
        part["text"] += text
        part["logprobs"] += logprobs
        yield self._part_event("output_text.delta", delta=text, logprobs=logprobs)

    def parts(self, status: str) -> Iterator[Event]:
        yield from self._end_part()

    def _end_part(self) -> Iterator[Event]:
        if not self._parts:
            return
        part = self._parts[-1]
        if part["type"] == "refusal":
            yield self._part_event("refusal.done", refusal=part["refusal"])
        else:
            part["annotations"] = self._cite(part["text"])
            for position, annotation in enumerate(part["annotations"]):
                yield self._part_event("output_text.annotation.added", annotation_index=position, annotation=annotation)
            yield self._part_event("output_text.done", text=part["text"], logprobs=part["logprobs"])
        yield self._part_event("content_part.done", part=part)

    def _part_event(self, event: str, /, **members: Any) -> Event:
        return self._event(event, content_index=len(self._parts) - 1, **members)


def _empty(kind: str) -> Item:
    if kind == "refusal":
        return {"type": "refusal", "refusal": ""}
    return {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


class Output:
    """All items of one answer.

    Args:
        cite: text → the annotations of its citations.
    """

    def __init__(self, response_id: UUID, *, cite: Cite) -> None:
        self._response_id = response_id
        self._cite = cite
        self._items: list[_Item | Item] = []
        self._calls: dict[int, _Call] = {}

    def search(self, queries: list[str], results: list[Item] | None) -> Iterator[Event]:
        """A search of files that was made before the model was asked."""
        index = len(self._items)
        ident = public_item_id("file_search_call", item_id(self._response_id, OUTPUT + index))
        item: Item = {
            "id": ident,
            "type": "file_search_call",
            "status": "in_progress",
            "queries": queries,
            "results": None,
        }
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        for step in ("in_progress", "searching", "completed"):
            yield {"type": f"response.file_search_call.{step}", "output_index": index, "item_id": ident}
        item = {**item, "status": "completed", "results": results}
        self._items.append(item)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}

    def take(self, delta: dict[str, Any], logprobs: Any) -> Iterator[Event]:
        """A part of the answer: the delta of a chat choice."""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str):
            yield from self._open_reasoning()
            yield from self._last(_Reasoning).grow(thought)
        for member, kind in (("content", "output_text"), ("refusal", "refusal")):
            text = delta.get(member)
            if isinstance(text, str) and text:
                yield from self._open_message()
                yield from self._last(_Message).grow(kind, text, _logprobs(logprobs, member))
        for position, call in enumerate(delta.get("tool_calls") or ()):
            yield from self._take_call(call, position)

    def finish(self, status: str) -> Iterator[Event]:
        """The answer has ended: what is open is done. One without any item gets an empty message."""
        if all(isinstance(item, dict) for item in self._items):
            yield from self._open_message()
        for item in self._items:
            if isinstance(item, _Item) and item.ended is None:
                yield from item.close(status)

    def shapes(self, status: str) -> list[Item]:
        """The items as they are."""
        return [item if isinstance(item, dict) else item.shape(item.ended or status) for item in self._items]

    def _take_call(self, call: dict[str, Any], position: int) -> Iterator[Event]:
        index = int(call.get("index", position))
        known = self._calls.get(index)
        if known is None:
            yield from self._end_said()
            known = self._calls[index] = _Call(self._response_id, len(self._items), call)
            self._items.append(known)
            yield known.added()
        arguments = (call.get("function") or {}).get("arguments")
        if isinstance(arguments, str) and arguments:
            yield known.grow(arguments)

    def _open_message(self) -> Iterator[Event]:
        if not self._is_last(_Message):
            yield from self._end_said()
            self._items.append(_Message(self._response_id, len(self._items), self._cite))
            yield self._last(_Message).added()

    def _open_reasoning(self) -> Iterator[Event]:
        if not self._is_last(_Reasoning):
            yield from self._end_said()
            self._items.append(_Reasoning(self._response_id, len(self._items)))
            yield self._last(_Reasoning).added()

    def _end_said(self) -> Iterator[Event]:
        """Another item begins."""
        last = self._items[-1] if self._items else None
        if isinstance(last, _Message | _Reasoning) and last.ended is None:
            yield from last.close("completed")

    def _is_last(self, kind: type[_Item]) -> bool:
        return bool(self._items) and isinstance(self._items[-1], kind)

    def _last(self, kind: Any) -> Any:
        last = self._items[-1]
        assert isinstance(last, kind)
        return last


def _logprobs(given: Any, member: str) -> list[Item]:
    """A chat choice's log-probabilities in the shape of responses."""
    tokens = (given or {}).get(member) if isinstance(given, dict) else None
    return [
        {**_logprob(token), "top_logprobs": [_logprob(other) for other in token.get("top_logprobs") or ()]}
        for token in tokens or ()
    ]


def _logprob(token: dict[str, Any]) -> Item:
    return {"token": token["token"], "logprob": token["logprob"], "bytes": token.get("bytes") or []}
