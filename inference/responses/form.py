"""A response as its worker sees it: a chat request to be answered, and the transcript that writes the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ..calls import Call
from ..prompting import question_of
from ..requests import ChatRequest
from ..threads import in_thread
from .asking import Asked, StoredRequest, chat_of
from .transcript import ResponseTranscript

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

    from ..safety.output import Outgoing


@dataclass(frozen=True)
class ResponseForm:
    """One call's."""

    call: Call
    asked: Asked

    @property
    def chat(self) -> ChatRequest:
        """What is asked, in the canonical form."""
        return self.asked.chat

    def transcript(
        self, passages: "Sequence[Passage]", *, searched: bool, outgoing: "Outgoing | None"
    ) -> ResponseTranscript:
        """What writes the answer.

        Args:
            passages: those shown to the model.
            searched: whether files were searched, with or without a find.
        """
        return ResponseTranscript(
            self.asked.request,
            id=self.call.id,
            created=int(self.call.created_at.timestamp()),
            passages=passages if searched else None,
            question=question_of(self.chat),
            outgoing=outgoing,
        )


async def response_form(call: Call) -> ResponseForm:
    """The form of a claimed response; what came before it is read in a thread.

    Raises:
        AtriumError: what came before has gone since admission.
    """
    stored = orjson.loads(call.request)
    request = StoredRequest.model_validate(stored)
    if request.has_history or request.names_items:
        return ResponseForm(call, await in_thread(chat_of, request, groups=call.admitted.groups))
    return ResponseForm(call, chat_of(request, groups=call.admitted.groups))
