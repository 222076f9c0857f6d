"""What goes out of a call that answers from documents: text without composed addresses, and granted tools only.

A document cannot give the model a tool: calls of functions that the request did not offer are left out. The arguments of
those it offered are passed on as they are, for the client's own program reads them. So are no members that nobody here
understands (an upstream's images, audio, links of its own), and no log-probabilities: they spell the text that was
taken out.
"""

from typing import Any

from .outbound import Allowed, OutboundFilter, filtered

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_CALLING = ("tool_calls", "function_call")


class GroundedOutput:
    """The choices of one call on their way out.

    Args:
        allowed: the addresses that the answer may repeat.
        tools: names of the functions that the request offered.
    """

    def __init__(self, *, allowed: Allowed, tools: frozenset[str]) -> None:
        self._allowed = allowed
        self._tools = tools
        self._texts: dict[tuple[int, str], OutboundFilter] = {}
        self._calls: set[tuple[int, int]] = set()

    def part(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A part of a stream; what it ends with comes out when it says that it has finished."""
        index = int(choice.get("index") or 0)
        delta = choice.get("delta") or {}
        out: dict[str, Any] = {"role": delta["role"]} if isinstance(delta.get("role"), str) else {}
        for member in _TEXTS:
            text = self._text(index, member, delta.get(member), last=bool(choice.get("finish_reason")))
            if text or delta.get(member) == "":
                out[member] = text
        if calls := [call for call in delta.get("tool_calls") or () if self._goes_on(index, call)]:
            out["tool_calls"] = calls
        return {"index": index, "delta": out, "finish_reason": self._finish(index, choice.get("finish_reason"))}

    def message(self, choice: dict[str, Any], position: int) -> dict[str, Any]:
        """A whole choice."""
        index = choice.get("index", position)
        message = choice["message"]
        out: dict[str, Any] = {
            member: filtered(text, self._allowed)
            for member in _TEXTS
            if (text := _text_of(message.get(member))) is not None
        }
        if calls := [call for call in message.get("tool_calls") or () if self._is_offered(call)]:
            out["tool_calls"] = calls
            self._calls.add((index, 0))
        finish = self._finish(index, choice.get("finish_reason"))
        return {"index": index, "message": {"content": None, **out}, "finish_reason": finish}

    def _text(self, index: int, member: str, text: Any, *, last: bool) -> str:
        passing = self._texts.get((index, member))
        if passing is None:
            if not isinstance(text, str) or not text:
                return ""
            passing = self._texts[index, member] = OutboundFilter(self._allowed)
        now = passing.take(text) if isinstance(text, str) else ""
        return now + passing.finish() if last else now

    def _goes_on(self, index: int, call: dict[str, Any]) -> bool:
        """Whether a part of a tool call belongs to one that was offered; the first part names the function."""
        key = (index, int(call.get("index", 0)))
        if self._is_offered(call):
            self._calls.add(key)
        return key in self._calls

    def _is_offered(self, call: dict[str, Any]) -> bool:
        return (call.get("function") or {}).get("name") in self._tools

    def _finish(self, index: int, reason: Any) -> Any:
        """A call that was left out is nothing to wait for."""
        return "stop" if reason in _CALLING and not any(choice == index for choice, _ in self._calls) else reason


def _text_of(value: Any) -> str | None:
    """A member's text, its text parts joined; None where it has none."""
    if isinstance(value, list):
        return "\n".join(
            str(part.get("text", "")) for part in value if isinstance(part, dict) and part.get("type") == "text"
        )
    return value if isinstance(value, str) else None
