"""A request's messages, and retrieved passages, under a policy's local screens."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tenants.errors import AtriumError
from tenants.ids import public_id

from ..requests import ChatRequest, Message
from .compiled import PROMPT_INJECTION
from .text import ActiveScreen, screened
from .tool_arguments import screened_arguments
from .verdicts import Verdicts

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

#: Whose words a model should not take for its operator's.
_STRANGERS = frozenset({"user", "tool", "function"})


class ContentFiltered(AtriumError):
    """The safety policy refuses the request; `screens` names what found something, never what it found."""

    status = 400
    type = "invalid_request_error"
    code = "content_filter"

    def __init__(self, screens: Sequence[str]) -> None:
        super().__init__(
            f"The request was refused by your organization's safety policy (screens: {', '.join(screens)}). Change the "
            "messages, or ask an administrator about the policy.",
            param="messages",
            data={"screens": list(screens)},
        )


def screen_messages(request: ChatRequest, screens: Sequence[ActiveScreen], verdicts: Verdicts) -> ChatRequest:
    """The request as it may go on: what is to be masked is.

    Text, parts of text and arguments of earlier tool calls are looked at; images, audio and files are not.

    Raises:
        ContentFiltered: something in it is to be blocked.
    """
    blocked: dict[str, None] = {}
    messages = [
        _Looking(f"messages.{position}", screens, message.role, verdicts, blocked).message(message)
        for position, message in enumerate(request.messages)
    ]
    if blocked:
        raise ContentFiltered(list(blocked))
    return request.model_copy(update={"messages": messages})


def new_texts(request: ChatRequest) -> list[tuple[str, str]]:
    """What users and tools said since the last answer: (place, text)."""
    found: list[tuple[str, str]] = []
    for position in range(len(request.messages) - 1, -1, -1):
        message = request.messages[position]
        if message.role == "assistant":
            break
        if message.role in _STRANGERS and (text := message.text()):
            found.append((f"messages.{position}", text))
    return found[::-1]


class _Looking:
    """At one message."""

    def __init__(
        self, place: str, screens: Sequence[ActiveScreen], role: str, verdicts: Verdicts, blocked: dict[str, None]
    ) -> None:
        theirs = role in _STRANGERS
        self._screens = [active for active in screens if theirs or active.name != PROMPT_INJECTION]
        self._place = place
        self._verdicts = verdicts
        self._blocked = blocked

    def message(self, message: Message) -> Message:
        content = message.content
        if isinstance(content, str):
            content = self._text(content, "content")
        elif content is not None:
            content = [self._part(part, number) for number, part in enumerate(content)]
        more = dict(message.model_extra or {})
        if isinstance(more.get("name"), str):
            more["name"] = self._text(more["name"], "name")
        if isinstance(more.get("tool_calls"), list):
            more["tool_calls"] = [self._call(call, number) for number, call in enumerate(more["tool_calls"])]
        return Message(role=message.role, content=content, **more)

    def _part(self, part: dict[str, Any], number: int) -> dict[str, Any]:
        if isinstance(part.get("text"), str):
            return {**part, "text": self._text(part["text"], f"content.{number}.text")}
        return part

    def _call(self, call: Any, number: int) -> Any:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
            return call
        name = f"tool_calls.{number}.function.arguments"
        return {**call, "function": {**function, "arguments": self._arguments(function["arguments"], name)}}

    def _text(self, text: str, member: str) -> str:
        out, _ = screened(text, self._screens, self._noting(member))
        return out

    def _arguments(self, text: str, member: str) -> str:
        out, _ = screened_arguments(text, self._screens, self._noting(member))
        return out

    def _noting(self, member: str) -> Any:
        note = self._verdicts.noting("input", f"{self._place}.{member}")

        def noting(hit: Any) -> None:
            note(hit)
            if hit.action == "block":
                self._blocked[hit.screen] = None

        return noting


def screen_passages(
    passages: "Sequence[Passage]", screens: Sequence[ActiveScreen], verdicts: Verdicts
) -> "list[Passage]":
    """The passages that may be shown to the model, masked where they are to be; the file's name is looked at too."""
    return list(_kept(passages, screens, verdicts))


def _kept(passages: "Sequence[Passage]", screens: Sequence[ActiveScreen], verdicts: Verdicts) -> "Iterator[Passage]":
    for passage in passages:
        file = public_id("file-", passage.file_id)
        place = f"{file}:{passage.start}-{passage.end}"
        text, refused = screened(passage.text, screens, verdicts.noting("passages", place))
        name, name_refused = screened(passage.filename, screens, verdicts.noting("passages", f"{file}:filename"))
        if not (refused or name_refused):
            yield replace(passage, text=text, filename=name)
