"""An answer as it grows: the events of a response's stream out, the whole object kept, citations found.

It has the members of chat's `Transcript`. The first events leave with the first of the answer, so that a call that
fails before it keeps its HTTP status. Only the first choice counts: a response has one.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from tenants.ids import public_id

from ..prompting import citations
from ..providers.base import Chunk, Completion, Usage
from .objects import response_json
from .output_items import Event, Output
from .requests import RESULTS, ResponseRequest

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

    from ..safety.output import Outgoing

_NUMBER = re.compile(rb'"sequence_number":(\d+)}\n\n')
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def wire(event: Event, number: int) -> bytes:
    """One server-sent event."""
    data = orjson.dumps({**event, "sequence_number": number})
    return b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n"


def response_error(error: bytes, before: bytes) -> bytes:
    """The event that ends a stream whose worker cannot: the error's body, numbered after the events before it."""
    detail = orjson.loads(error)["error"]
    numbers = _NUMBER.findall(before)
    event = {"type": "error", **{name: detail.get(name) for name in ("code", "message", "param")}}
    return wire(event, int(numbers[-1]) + 1 if numbers else 0)


class ResponseTranscript:
    """What one response answered so far.

    Args:
        id: the generation's.
        created: Unix seconds.
        passages: those shown to the model, in the order of their numbers; None where nothing was searched.
        question: what was searched for.
        outgoing: what leaves of an answer from documents; None: the answer leaves as it is.
        clock: Unix seconds now, for `completed_at`.
    """

    def __init__(
        self,
        request: ResponseRequest,
        *,
        id: UUID,
        created: int,
        passages: "Sequence[Passage] | None" = None,
        question: str = "",
        outgoing: "Outgoing | None" = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._request = request
        self._id = id
        self._created = created
        self._passages = passages
        self._question = question
        self._outgoing = outgoing
        self._clock = clock
        self._output = Output(id, cite=lambda text: citations(text, passages or ()))
        self._number = 0
        self._begun = self._streamed = False
        self._finish_reason: str | None = None
        self._produced: list[str] = []
        self._ending: list[Event] = []
        self._whole: dict[str, Any] | None = None
        self.usage: Usage | None = None

    @property
    def started(self) -> bool:
        """Whether the provider produced anything."""
        return self._begun or self.usage is not None

    def text(self) -> str:
        """All text that was produced so far, for counting."""
        return "".join(self._produced)

    def take(self, chunk: Chunk) -> bytes:
        """Take what arrived together; returns the events for the client."""
        self._streamed = True
        self.usage = chunk.usage or self.usage
        events = [event for choices in chunk.choices for choice in choices for event in self._take(choice)]
        return self._wired(events)

    def take_whole(self, completion: Completion) -> None:
        """Take a whole answer."""
        self.usage = completion.usage
        for position, choice in enumerate(completion.choices[:1]):
            self._produced.append(_texts(choice["message"]))
            if self._outgoing is not None:
                choice = self._outgoing.message(choice, position)
            for _ in self._grow({**choice, "delta": choice["message"]}):
                pass  # nobody listens to the events of an answer that goes out whole

    def _take(self, choice: dict[str, Any]) -> Iterator[Event]:
        if int(choice.get("index") or 0) != 0:
            return
        self._produced.append(_texts(choice.get("delta")))
        yield from self._grow(choice if self._outgoing is None else self._outgoing.part(choice))

    def _grow(self, choice: dict[str, Any]) -> Iterator[Event]:
        if not self._begun:
            yield from self._beginning()
        yield from self._output.take(choice.get("delta") or {}, choice.get("logprobs"))
        self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _beginning(self) -> Iterator[Event]:
        self._begun = True
        for name in ("response.created", "response.in_progress"):
            yield {"type": name, "response": self._object("in_progress")}
        if self._passages is not None:
            results = [_result(passage) for passage in self._passages] if self._request.includes(RESULTS) else None
            yield from self._output.search([self._question], results)

    def completion(self, usage: Usage) -> dict[str, Any]:
        """The whole answer."""
        if self._whole is None:
            beginning = [] if self._begun else list(self._beginning())
            if self._streamed and self._finish_reason is None:
                # The provider forgot to say that it has finished; what is held back until then must go out.
                beginning += self._take({"index": 0, "delta": {}, "finish_reason": "stop"})
            reason = _INCOMPLETE.get(self._finish_reason or "stop")
            status = "incomplete" if reason else "completed"
            self._ending = [*beginning, *self._output.finish(status)]
            self._whole = self._object(
                status,
                output=self._output.shapes(status),
                usage=usage,
                incomplete=reason,
                completed=None if reason else int(self._clock()),
            )
        return self._whole

    def closing(self, usage: Usage) -> bytes:
        """The last events of a stream: what is open is done, and the whole answer."""
        whole = self.completion(usage)
        return self._wired([*self._ending, {"type": f"response.{whole['status']}", "response": whole}])

    def failing(self, error: dict[str, Any]) -> bytes:
        """The last event of a stream that had begun and failed; `error` is the error's body."""
        failed = self._object("failed", output=self._output.shapes("incomplete"), error=error)
        return self._wired([{"type": "response.failed", "response": failed}])

    def _object(self, status: str, **members: Any) -> dict[str, Any]:
        return response_json(self._request, id=self._id, created=self._created, status=status, **members)

    def _wired(self, events: list[Event]) -> bytes:
        first, self._number = self._number, self._number + len(events)
        return b"".join(wire(event, first + place) for place, event in enumerate(events))


def _texts(said: dict[str, Any] | None) -> str:
    """The text of a delta or message as it was produced, its tool calls included."""
    return "".join(str(value) for name, value in (said or {}).items() if value and name != "role")


def _result(passage: "Passage") -> dict[str, Any]:
    """A passage as a search's result."""
    return {
        "file_id": public_id("file-", passage.file_id),
        "filename": passage.filename,
        "score": round(passage.score, 6),
        "text": passage.text,
        "attributes": passage.attributes,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
    }
