"""What a provider of text is: it completes a prompt, whole or as a stream, and says how it failed."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from knowledge.retrieval import Passage


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counted them."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class Prompt:
    """What a provider is asked.

    `body` is an OpenAI chat body without model and limits. `passages` are what retrieval found (already in the
    messages for models that read them there); `question` is the last user message.
    """

    body: dict[str, Any]
    max_output_tokens: int
    question: str = ""
    passages: "tuple[Passage, ...]" = ()
    grounded: bool = False
    limit_member: str = "max_tokens"


@dataclass(frozen=True)
class Completion:
    """A whole answer: OpenAI's `choices`, and the usage where the provider reported it."""

    choices: list[dict[str, Any]]
    usage: Usage | None


@dataclass
class Chunk:
    """Stream parts that arrived together: OpenAI's chunk `choices`, and the usage in the last ones."""

    choices: list[list[dict[str, Any]]] = field(default_factory=list)
    usage: Usage | None = None


class ProviderError(Exception):
    """The provider failed.

    `temporary`: another try or another deployment may help. `status` and `code` are what the client is told.
    """

    def __init__(
        self, message: str, *, code: str, status: int = 502, temporary: bool = True, param: str | None = None,
        retry_after: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.temporary = temporary
        self.param = param
        self.retry_after = retry_after


class Cancelled(Exception):
    """The call was broken off: its client went away, or its time was up."""


class Connection(Protocol):
    """Something that can be broken off from another thread."""

    def close(self) -> None:
        """Break it off; whoever waits for it raises."""


class Cancellation(Protocol):
    """Lets a provider that is called in a thread hear that its call is no longer wanted."""

    @property
    def requested(self) -> bool:
        """The client has gone or the deadline has passed."""

    def watch(self, connection: Connection) -> None:
        """Break `connection` off when cancellation is requested."""


class TextProvider(Protocol):
    """One deployment of a chat model. Its calls run on an event loop and are broken off by cancelling their task."""

    async def complete(self, prompt: Prompt) -> Completion:
        """The whole answer.

        Raises:
            ProviderError: it failed.
        """

    def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """The answer as it is made; raises like `complete`, also in the middle."""
