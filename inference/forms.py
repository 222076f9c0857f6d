"""In what form a call was asked and is answered: chat completions, or responses. Inside, both are a chat request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tenants.ids import public_id

from .calls import Call
from .providers.base import Chunk, Completion, Usage
from .requests import ChatRequest
from .responses.form import response_form
from .transcript import Transcript

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

    from .safety.output import Outgoing


class Answer(Protocol):
    """What writes an answer: `Transcript`, or that of a response."""

    usage: Usage | None

    @property
    def started(self) -> bool:
        """Whether the provider produced anything."""

    def text(self) -> str:
        """All text that was produced so far, for counting."""

    def take(self, chunk: Chunk) -> bytes:
        """Take what arrived together; returns the events for the client."""

    def take_whole(self, completion: Completion) -> None:
        """Take a whole answer."""

    def completion(self, usage: Usage) -> dict[str, Any]:
        """The whole answer, as the client reads it and the row keeps it."""

    def closing(self, usage: Usage) -> bytes:
        """The last events of a stream."""

    def failing(self, error: dict[str, Any]) -> bytes:
        """The last event of a stream that had begun and failed; `error` is the error's body."""


class Form(Protocol):
    """A claimed call in its form."""

    @property
    def chat(self) -> ChatRequest:
        """What is asked, in the canonical form."""

    def transcript(self, passages: "Sequence[Passage]", *, searched: bool, outgoing: "Outgoing | None") -> Answer:
        """What writes the answer."""


@dataclass(frozen=True)
class ChatForm:
    """A chat completion's."""

    call: Call
    chat: ChatRequest

    def transcript(self, passages: "Sequence[Passage]", *, searched: bool, outgoing: "Outgoing | None") -> Answer:
        """What writes the answer."""
        options = self.chat.stream_options
        return Transcript(
            id=public_id("chatcmpl-", self.call.id),
            created=int(self.call.created_at.timestamp()),
            model=self.call.alias,
            passages=passages,
            include_usage=bool(options and options.include_usage),
            outgoing=outgoing,
        )


async def form_of(call: Call) -> Form:
    """A claimed call's form.

    Raises:
        AtriumError: what a response goes on from has gone since admission.
    """
    if call.kind == "response":
        return await response_form(call)
    return ChatForm(call, ChatRequest.model_validate_json(call.request))
