"""What `/responses` answers, whole or as events, as choices of a chat completion."""

from typing import Any

from ..base import Chunk, Completion, ProviderError, Usage

#: Codes of a failed response that another try may help with.
_TEMPORARY = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})


def completion(response: dict[str, Any]) -> Completion:
    """A whole answer.

    Raises:
        ProviderError: it failed, or is none.
    """
    _raise_if_failed(response)
    output = response.get("output")
    if not isinstance(output, list):
        raise _garbage("an answer without output")
    message, logprobs = _message([item for item in output if isinstance(item, dict)])
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": _finish(response, message)}
    return Completion([choice], usage_of(response.get("usage")))


def _message(output: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    parts = [part for item in output if item.get("type") == "message" for part in item.get("content") or ()]
    texts = [str(part.get("text") or "") for part in parts if part.get("type") == "output_text"]
    refusals = [str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal"]
    thoughts = [
        str(part.get("text") or "")
        for item in output
        if item.get("type") == "reasoning"
        for part in [*(item.get("summary") or ()), *(item.get("content") or ())]
    ]
    calls = [_tool_call(item) for item in output if item.get("type") == "function_call"]
    logprobs = [entry for part in parts for entry in part.get("logprobs") or ()]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    message["refusal"] = "".join(refusals) or None
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message, {"content": logprobs} if logprobs else None


def _tool_call(item: dict[str, Any]) -> dict[str, Any]:
    function = {"name": str(item.get("name") or ""), "arguments": str(item.get("arguments") or "{}")}
    return {"id": str(item.get("call_id") or ""), "type": "function", "function": function}


def _finish(response: dict[str, Any], message: dict[str, Any]) -> str:
    if response.get("status") == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if message.get("tool_calls") else "stop"


def usage_of(usage: Any) -> Usage | None:
    """Tokens, cached and reasoned ones among them."""
    if not isinstance(usage, dict):
        return None
    try:
        return Usage(
            input_tokens=max(0, int(usage["input_tokens"])),
            output_tokens=max(0, int(usage["output_tokens"])),
            cached_input_tokens=max(0, int((usage.get("input_tokens_details") or {}).get("cached_tokens") or 0)),
            reasoning_tokens=max(0, int((usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _raise_if_failed(response: dict[str, Any]) -> None:
    error = response.get("error")
    if response.get("status") in ("failed", "cancelled") or error:
        raise _failure(error if isinstance(error, dict) else {})


def _failure(error: dict[str, Any]) -> ProviderError:
    code = str(error.get("code") or "server_error")
    if code == "rate_limit_exceeded":
        text = "The model's server is overloaded."
        return ProviderError(text, code="upstream_rate_limited", status=503, retry_after=1.0)
    if code in _TEMPORARY:
        return ProviderError("The model's server failed.", code="upstream_error")
    message = str(error.get("message") or "The model's server refused the request.")[:2000]
    return ProviderError(message, code=code, status=400, temporary=False, param=_text_or_none(error.get("param")))


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _garbage(what: str) -> ProviderError:
    return ProviderError(f"The model's server sent {what}.", code="upstream_garbage")


class ResponseEvents:
    """The events of one stream, turned into chunks. `finished`: the response has ended."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}  # the place of an output item → that of its tool call
        self._without_arguments: set[int] = set()
        self._began = False
        self.finished = False

    def take(self, event: dict[str, Any], chunk: Chunk) -> None:
        """Add an event to `chunk`.

        Raises:
            ProviderError: it says that the response failed.
        """
        kind = str(event.get("type") or "")
        if kind in ("response.completed", "response.incomplete"):
            self._end(event.get("response"), chunk)
        elif kind == "response.failed":
            _raise_if_failed({"status": "failed", **_object(event.get("response"))})
        elif kind == "error" or event.get("error"):
            raise _failure(event["error"] if isinstance(event.get("error"), dict) else event)
        elif (delta := self._delta(kind, event)) is not None:
            self._add(chunk, delta, event.get("logprobs") if kind == "response.output_text.delta" else None)

    def _add(self, chunk: Chunk, delta: dict[str, Any], logprobs: Any = None) -> None:
        self._began = True
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        if logprobs:
            choice["logprobs"] = {"content": logprobs}
        chunk.choices.append([choice])

    def _delta(self, kind: str, event: dict[str, Any]) -> dict[str, Any] | None:
        text = event.get("delta")
        if kind == "response.output_text.delta":
            return {"content": str(text or "")}
        if kind == "response.refusal.delta":
            return {"refusal": str(text or "")}
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            return {"reasoning_content": str(text or "")}
        if kind == "response.output_item.added":
            return self._call(event)
        if kind == "response.function_call_arguments.delta":
            return self._arguments(event, str(text or ""))
        if kind == "response.function_call_arguments.done" and event.get("output_index") in self._without_arguments:
            return self._arguments(event, str(event.get("arguments") or "{}"))
        return None

    def _call(self, event: dict[str, Any]) -> dict[str, Any] | None:
        item = _object(event.get("item"))
        if item.get("type") != "function_call":
            return None
        place = int(event.get("output_index") or 0)
        number = self._calls[place] = len(self._calls)
        self._without_arguments.add(place)
        function = {"name": str(item.get("name") or ""), "arguments": ""}
        call = {"index": number, "id": str(item.get("call_id") or ""), "type": "function", "function": function}
        return {"tool_calls": [call]}

    def _arguments(self, event: dict[str, Any], text: str) -> dict[str, Any] | None:
        place = event.get("output_index")
        if place not in self._calls:
            raise _garbage("arguments of a call that it did not begin")
        self._without_arguments.discard(place)
        return {"tool_calls": [{"index": self._calls[place], "function": {"arguments": text}}]}

    def _end(self, response: Any, chunk: Chunk) -> None:
        """The finish reason and the usage; and all of the answer where the server sent no part of it before."""
        whole = completion({"output": [], **_object(response)})
        [choice] = whole.choices
        if not self._began:
            message = {name: value for name, value in choice["message"].items() if value is not None and name != "role"}
            for number, call in enumerate(message.get("tool_calls") or ()):
                call["index"] = number
            self._add(chunk, message)
        finish = "tool_calls" if self._calls and choice["finish_reason"] == "stop" else choice["finish_reason"]
        chunk.choices.append([{"index": 0, "delta": {}, "finish_reason": finish}])
        chunk.usage = whole.usage
        self.finished = True


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
