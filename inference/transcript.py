"""An answer as it grows: OpenAI's chunks out, the whole completion kept, citations found (wire.md, Stream)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from .prompting import citations
from .providers.base import Chunk, Completion, Usage

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

    from .safety.output import Outgoing

DONE = b"data: [DONE]\n\n"


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class _Choice:
    """One choice under way."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.refusal: list[str] = []
        self.tool_calls: dict[int, dict[str, Any]] = {}
        self.finish_reason: str | None = None
        self.logprobs: list[Any] = []

    def add(self, delta: dict[str, Any]) -> None:
        """Take a delta in."""
        if isinstance(delta.get("content"), str):
            self.parts.append(delta["content"])
        if isinstance(delta.get("refusal"), str):
            self.refusal.append(delta["refusal"])
        for call in delta.get("tool_calls") or ():
            known = self.tool_calls.setdefault(int(call.get("index", 0)), {"function": {"name": "", "arguments": ""}})
            known.update({name: call[name] for name in ("id", "type") if call.get(name)})
            for name, text in (call.get("function") or {}).items():
                if isinstance(text, str):
                    known["function"][name] = known["function"].get(name, "") + text

    def message(self) -> dict[str, Any]:
        """The whole message."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.parts) if self.parts else None}
        message["refusal"] = "".join(self.refusal) or None
        if self.tool_calls:
            message["tool_calls"] = [
                {"type": "function", **self.tool_calls[index]} for index in sorted(self.tool_calls)
            ]
        return message


class Transcript:
    """What one call answered so far.

    Args:
        passages: those shown to the model, in the order of their numbers.
        outgoing: what leaves of an answer; None: the answer leaves as it is.
    """

    def __init__(
        self,
        *,
        id: str,
        created: int,
        model: str,
        passages: "Sequence[Passage]",
        include_usage: bool,
        outgoing: "Outgoing | None" = None,
    ) -> None:
        self._head = {"id": id, "created": created, "model": model}
        self._passages = passages
        self._include_usage = include_usage
        self._choices: dict[int, _Choice] = {}
        self._whole: list[dict[str, Any]] | None = None
        self._outgoing = outgoing
        self._produced: list[str] = []  # where it is not what goes out
        self.usage: Usage | None = None

    @property
    def started(self) -> bool:
        """Whether the provider produced anything."""
        return bool(self._choices) or self._whole is not None or self.usage is not None

    def text(self) -> str:
        """All text that was produced so far, for counting."""
        if self._outgoing is not None:
            return "".join(self._produced)
        if self._whole is not None:
            return "\n".join(str(choice.get("message")) for choice in self._whole)
        return "\n".join(
            str(choice.message().get("tool_calls") or "".join(choice.parts)) for choice in self._choices.values()
        )

    def take(self, chunk: Chunk) -> bytes:
        """Take what arrived together; returns the events for the client."""
        self.usage = chunk.usage or self.usage
        taken = [[self._take_choice(choice) for choice in choices] for choices in chunk.choices]
        if self._outgoing is not None:
            taken = [kept for choices in taken if (kept := [choice for choice in choices if _says_something(choice)])]
        return b"".join(map(self._event, taken))

    def _take_choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        if self._outgoing is not None:
            self._produced.append(_texts(choice.get("delta")))
            choice = self._outgoing.part(choice)
        index = int(choice.get("index") or 0)
        delta = dict(choice.get("delta") or {})
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = _Choice()
            delta = {"role": "assistant", **delta}
        known.add(delta)
        out: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": choice.get("finish_reason")}
        if choice.get("logprobs") is not None:
            out["logprobs"] = choice["logprobs"]
            known.logprobs += (choice["logprobs"] or {}).get("content") or []
        if choice.get("finish_reason"):
            known.finish_reason = choice["finish_reason"]
            if found := citations("".join(known.parts), self._passages):
                delta["annotations"] = found
        return out

    def take_whole(self, completion: Completion) -> None:
        """Take a whole answer."""
        self.usage = completion.usage
        self._whole = []
        for position, choice in enumerate(completion.choices):
            if self._outgoing is not None:
                self._produced.append(_texts(choice["message"]))
                choice = self._outgoing.message(choice, position)
            message = {"role": "assistant", "refusal": None, **choice["message"]}
            if found := citations(str(message.get("content") or ""), self._passages):
                message["annotations"] = found
            whole = {"index": choice.get("index", position), "message": message, "logprobs": choice.get("logprobs")}
            self._whole.append({**whole, "finish_reason": choice.get("finish_reason") or "stop"})

    def completion(self, usage: Usage) -> dict[str, Any]:
        """The whole answer in OpenAI's shape."""
        return {**self._head, "object": "chat.completion", "choices": self._whole_choices(), "usage": usage_json(usage)}

    def _whole_choices(self) -> list[dict[str, Any]]:
        if self._whole is not None:
            return self._whole
        choices = []
        for index, choice in sorted(self._choices.items()):
            message = choice.message()
            if found := citations(message["content"] or "", self._passages):
                message["annotations"] = found
            logprobs = {"content": choice.logprobs} if choice.logprobs else None
            finish = choice.finish_reason or "stop"
            choices.append({"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish})
        return choices

    def closing(self, usage: Usage) -> bytes:
        """The last events of a stream: finish reasons the provider forgot, the usage if asked for, the end."""
        late = b"".join(
            self._event([self._take_choice({"index": index, "delta": {}, "finish_reason": "stop"})])
            for index, choice in self._choices.items()
            if choice.finish_reason is None
        )
        counted = self._event([], usage_json(usage)) if self._include_usage else b""
        return late + counted + DONE

    def failing(self, error: dict[str, Any]) -> bytes:
        """The last event of a stream that had begun and failed; `error` is the error's body."""
        return event(error)

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        data = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        if self._include_usage:
            data["usage"] = usage
        return event(data)


def _says_something(choice: dict[str, Any]) -> bool:
    return bool(choice["delta"]) or choice["finish_reason"] is not None


def _texts(said: dict[str, Any] | None) -> str:
    """The text of a delta or message as it was produced, its tool calls included."""
    return "".join(str(value) for name, value in (said or {}).items() if value and name != "role")
