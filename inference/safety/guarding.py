"""The screens of one call, in the order of its story: its messages, the passages found for it, its answer.

A call without a policy costs one look into what this process remembers. Small texts are looked at where they are; large
ones in a thread, so that other calls go on meanwhile.
"""

import itertools
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from uuid import UUID

from ..grounded_output import GroundedOutput
from ..providers.base import Chunk, Completion, Usage
from ..requests import ChatRequest
from ..threads import in_thread
from .compiled import CompiledPolicy
from .messages import ContentFiltered, new_texts, screen_messages, screen_passages
from .moderated_stream import ModeratedOutput
from .moderation import UNJUDGED, Moderation
from .output import Chained, Outgoing, ScreenedOutput, every_choice_ends
from .policies import policy_in_force, remembered_policy
from .text import Action
from .verdicts import Verdicts, record_screenings

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

P = ParamSpec("P")
T = TypeVar("T")
#: Characters that are looked at in a few milliseconds by all screens together.
_AT_ONCE = 8_000
#: Questions to a moderation model are attempts of their own in the ledger, far from those of the call's answers: each is
#: settled before those are made.
_FIRST_QUESTION = 10_001


class Guard:
    """The screens of one call.

    Args:
        alias: the model as the client named it, which may have a policy of its own.
    """

    def __init__(self, *, tenant_id: UUID, call_id: UUID, alias: str) -> None:
        self._tenant_id = tenant_id
        self._call_id = call_id
        self._alias = alias
        self._policy: CompiledPolicy | None = None
        self._output: ScreenedOutput | None = None
        self._moderated: ModeratedOutput | None = None
        self._numbers = itertools.count(_FIRST_QUESTION)
        self._verdicts = Verdicts(tenant_id)

    async def messages(self, request: ChatRequest) -> ChatRequest:
        """The request as it may go on; the policy is read here.

        Raises:
            ContentFiltered: it may not.
            ModerationAway: it must be judged, and nobody does.
        """
        known = remembered_policy(self._tenant_id, self._alias)
        self._policy = known[0] if known else await in_thread(policy_in_force, self._alias)
        if self._policy is None:
            return request
        if self._policy.input:
            size = sum(len(message.text()) for message in request.messages)
            request = await _done(size, screen_messages, request, self._policy.input, self._verdicts)
        if asked := self._policy.settings.input.moderation:
            await self._judge_messages(
                Moderation(asked, call_id=self._call_id, source="INPUT", numbers=self._numbers), request
            )
        return request

    async def _judge_messages(self, moderation: Moderation, request: ChatRequest) -> None:
        """What users and tools said since the last answer; what came before was judged when it was new."""
        texts = new_texts(request)
        blocked = False
        for (place, _), judgement in zip(texts, await moderation.judge([text for _, text in texts]), strict=True):
            if judgement.flagged:
                action: Action = "flag" if judgement is UNJUDGED else moderation.asked.action
                self._verdicts.judged("input", action, judgement.categories, place)
                blocked |= action == "block"
        if blocked:
            raise ContentFiltered(["moderation"])

    async def passages(self, found: "list[Passage]") -> "list[Passage]":
        """The passages that the model may see."""
        if self._policy is None or not self._policy.passages or not found:
            return found
        size = sum(len(passage.text) for passage in found)
        return await _done(size, screen_passages, found, self._policy.passages, self._verdicts)

    def outgoing(self, request: ChatRequest, grounded: GroundedOutput | None) -> Outgoing | None:
        """What an answer's choices pass on their way out; None: they leave as they are."""
        if self._policy is None:
            return grounded
        if asked := self._policy.settings.output.moderation:
            moderation = Moderation(asked, call_id=self._call_id, source="OUTPUT", numbers=self._numbers)
            self._moderated = ModeratedOutput(moderation, verdicts=self._verdicts, choices=request.n or 1)
        if not self._policy.output:
            return grounded
        self._output = ScreenedOutput(
            self._policy.output,
            verdicts=self._verdicts,
            choices=request.n or 1,
            tool_calls=self._policy.settings.output.tool_calls,
        )
        # The last word is the screens': taking a tag out may join what stood apart.
        return self._output if grounded is None else Chained(grounded, self._output)

    @property
    def version(self) -> str | None:
        """Of the policy, once the messages were looked at: an answer that is kept was screened by it."""
        return None if self._policy is None else self._policy.version

    @property
    def ended(self) -> bool:
        """Whether nothing more of the answer can go out, so that nobody need write it."""
        return self._output is not None and self._output.ended

    async def judged(self, completion: Completion) -> Completion:
        """A whole answer, after a moderation model where the policy asks one."""
        return completion if self._moderated is None else await self._moderated.whole(completion)

    def judging(self, chunks: AsyncGenerator[Chunk, None], begun: Callable[[], None]) -> AsyncGenerator[Chunk, None]:
        """A stream, after a moderation model where the policy asks one; `begun` is told of its first piece then."""
        if self._output is not None:
            chunks = every_choice_ends(chunks)
        return chunks if self._moderated is None else self._moderated.stream(chunks, begun)

    async def taken(self, take: Callable[[Completion], None], completion: Completion) -> None:
        """Have a whole answer taken in, where its choices pass the screens: in a thread where that takes long."""
        size = 0 if self._output is None else sum(len(str(choice.get("message"))) for choice in completion.choices)
        await _done(size, take, completion)

    @property
    def withheld(self) -> str:
        """What a moderation model kept from going out: produced, so to be counted."""
        return "" if self._moderated is None else self._moderated.withheld

    @property
    def usage(self) -> Usage | None:
        """As the provider counted it, where a moderation model saw the answer first."""
        return None if self._moderated is None else self._moderated.usage

    async def record(self) -> None:
        """Write what was found, if anything was. Before the call is settled, so that no ended call lacks it."""
        if self._verdicts:
            await in_thread(record_screenings, generation_id=self._call_id, verdicts=self._verdicts)


async def _done(size: int, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    if size <= _AT_ONCE:
        return function(*arguments, **options)
    return await in_thread(function, *arguments, **options)
