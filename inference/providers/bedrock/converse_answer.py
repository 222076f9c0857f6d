"""What Converse and ConverseStream answer, as OpenAI's choices.

Reasoning comes as `reasoning_content`, as other servers give it, and whole in `thinking_blocks` with its signature,
which a later request hands back where the model goes on thinking after a tool's result.
"""

from typing import Any

import orjson

from ..base import Chunk, Completion, ProviderError, Usage

_FINISHED = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}


def completion(answer: dict[str, Any]) -> Completion:
    """A whole answer.

    Raises:
        ProviderError: it has no message.
    """
    content = ((answer.get("output") or {}).get("message") or {}).get("content")
    if not isinstance(content, list):
        raise ProviderError("Amazon Bedrock sent an answer without a message.", code="upstream_garbage")
    choice = {"index": 0, "message": _message(content), "finish_reason": _finish(answer.get("stopReason"))}
    return Completion([choice], usage_of(answer.get("usage")))


def _message(content: list[dict[str, Any]]) -> dict[str, Any]:
    texts = [_text(block) for block in content if "text" in block or "citationsContent" in block]
    thoughts = [
        block["reasoningContent"].get("reasoningText") or {} for block in content if "reasoningContent" in block
    ]
    calls = [_tool_call(block["toolUse"]) for block in content if "toolUse" in block]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if any(thoughts):
        message["reasoning_content"] = "".join(str(thought.get("text") or "") for thought in thoughts)
        message["thinking_blocks"] = [_thinking(thought) for thought in thoughts if thought]
    if calls:
        message["tool_calls"] = calls
    return message


def _text(block: dict[str, Any]) -> str:
    if "text" in block:
        return str(block["text"])
    return "".join(str(part.get("text") or "") for part in block["citationsContent"].get("content") or ())


def _thinking(thought: dict[str, Any]) -> dict[str, Any]:
    block = {"type": "thinking", "thinking": str(thought.get("text") or "")}
    return {**block, "signature": thought["signature"]} if thought.get("signature") else block


def _tool_call(use: dict[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(use.get("input") or {}).decode()
    return {"id": use["toolUseId"], "type": "function", "function": {"name": use["name"], "arguments": arguments}}


def _finish(reason: Any) -> str:
    """`malformed_model_output` and whatever comes in future end an answer, too."""
    return _FINISHED.get(str(reason), "stop")


def usage_of(usage: dict[str, Any] | None) -> Usage | None:
    """Tokens as OpenAI counts them: what was read from and written to the prompt cache is input, too."""
    if not usage:
        return None
    read, written = int(usage.get("cacheReadInputTokens") or 0), int(usage.get("cacheWriteInputTokens") or 0)
    return Usage(
        input_tokens=int(usage.get("inputTokens") or 0) + read + written,
        output_tokens=int(usage.get("outputTokens") or 0),
        cached_input_tokens=read,
    )


class ConverseEvents:
    """The events of one stream, turned into chunks."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}  # the position of a content block → that of its tool call
        self._without_input: set[int] = set()
        self.finished = False

    def chunk(self, events: list[dict[str, Any]]) -> Chunk:
        """Those that arrived together."""
        chunk = Chunk()
        for event in events:
            if "metadata" in event:
                chunk.usage = usage_of(event["metadata"].get("usage")) or chunk.usage
            elif (choice := self._choice(event)) is not None:
                chunk.choices.append([choice])
        return chunk

    def _choice(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if "messageStop" in event:
            self.finished = True
            return _choice({}, _finish(event["messageStop"].get("stopReason")))
        delta = None
        if "contentBlockDelta" in event:
            delta = self._delta(event["contentBlockDelta"])
        elif "contentBlockStart" in event:
            delta = self._start(event["contentBlockStart"])
        elif "contentBlockStop" in event:
            delta = self._stop(event["contentBlockStop"])
        return _choice(delta) if delta else None

    def _start(self, block: dict[str, Any]) -> dict[str, Any] | None:
        use = (block.get("start") or {}).get("toolUse")
        if use is None:
            return None
        position = int(block.get("contentBlockIndex") or 0)
        number = self._calls[position] = len(self._calls)
        self._without_input.add(position)
        function = {"name": use["name"], "arguments": ""}
        return {"tool_calls": [{"index": number, "id": use["toolUseId"], "type": "function", "function": function}]}

    def _delta(self, block: dict[str, Any]) -> dict[str, Any] | None:
        delta, position = block.get("delta") or {}, int(block.get("contentBlockIndex") or 0)
        if "text" in delta:
            return {"content": delta["text"]}
        if "toolUse" in delta and position in self._calls:
            self._without_input.discard(position)
            return self._arguments(position, str(delta["toolUse"].get("input") or ""))
        thought = delta.get("reasoningContent") or {}
        if "text" in thought:
            return {"reasoning_content": thought["text"]}
        if "signature" in thought:
            return {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": thought["signature"]}]}
        return None

    def _stop(self, block: dict[str, Any]) -> dict[str, Any] | None:
        """A call without arguments: Bedrock sends none, OpenAI's clients parse them as JSON."""
        position = int(block.get("contentBlockIndex") or 0)
        if position not in self._without_input:
            return None
        self._without_input.discard(position)
        return self._arguments(position, "{}")

    def _arguments(self, position: int, text: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": self._calls[position], "function": {"arguments": text}}]}


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}
