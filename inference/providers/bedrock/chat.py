"""A chat model at Amazon Bedrock, by Converse and ConverseStream."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from ..base import Chunk, Completion, Prompt, ProviderError
from .account import Account, runtime
from .calls import in_thread, stream_in_thread
from .converse_answer import ConverseEvents, completion
from .converse_request import converse_arguments
from .failures import translated


class Bedrock:
    """One deployment. `model`: a model's id, an inference profile's, or the ARN of a custom or provisioned model."""

    def __init__(self, account: Account, model: str) -> None:
        self._account = account
        self._model = model

    async def complete(self, prompt: Prompt) -> Completion:
        """By Converse.

        Raises:
            ProviderError: it failed, or cannot do what the prompt asks.
        """
        arguments = converse_arguments(prompt, self._model)
        return await in_thread(lambda: self._converse(arguments))

    def _converse(self, arguments: dict[str, Any]) -> Completion:
        with translated():
            return completion(runtime(self._account).converse(**arguments))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """By ConverseStream; what arrives together is yielded together. Raises like `complete`, also in the middle."""
        arguments = converse_arguments(prompt, self._model)
        events = ConverseEvents()
        async with aclosing(stream_in_thread(lambda: self._events(arguments))) as batches:
            async for batch in batches:
                chunk = events.chunk(batch)
                if chunk.choices or chunk.usage:
                    yield chunk
        if not events.finished:
            text = "Amazon Bedrock broke off in the middle of its answer."
            raise ProviderError(text, code="upstream_broke_off")

    def _events(self, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with translated():
            stream = runtime(self._account).converse_stream(**arguments)["stream"]
        try:
            with translated():
                yield from stream
        finally:
            stream.close()
