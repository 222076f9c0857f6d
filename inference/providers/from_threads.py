"""A provider that runs on an event loop, asked from a thread: for the short texts of a search."""

import asyncio

from .base import Cancellation, Cancelled, Completion, Prompt, TextProvider
from .openai_http import close_session


class FromThreads:
    """Asks `provider` on a loop of the call's own."""

    def __init__(self, provider: TextProvider) -> None:
        self._provider = provider

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        """The whole answer.

        Raises:
            ProviderError: it failed.
            Cancelled: it was broken off.
        """
        try:
            return asyncio.run(self._complete(prompt, cancellation))
        except asyncio.CancelledError as error:
            raise Cancelled from error

    async def _complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        task = asyncio.current_task()
        assert task is not None
        cancellation.watch(_Task(asyncio.get_running_loop(), task))
        try:
            return await self._provider.complete(prompt)
        finally:
            await close_session()


class _Task:
    """A `Connection` that is a task of a loop in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Completion]") -> None:
        self._loop = loop
        self._task = task

    def close(self) -> None:
        """Cancel it; raises RuntimeError where its loop has ended."""
        self._loop.call_soon_threadsafe(self._task.cancel)
