"""Chat models of any server that speaks OpenAI's HTTP API: OpenAI, vLLM, Ollama, llama.cpp and their like.

On the event loop of the worker, so that a thousand streams need no thousand threads.
"""

from collections.abc import AsyncGenerator

from .base import Chunk, Completion, Prompt, ProviderError
from .openai_http import EventData, headers_with, posted, read_out, require_events, whole
from .openai_wire import completion_of, garbage, json_object, request_body, take_event


class OpenAIChat:
    """One deployment behind `base_url`."""

    def __init__(self, *, base_url: str, model: str, api_key: str, public: bool = False) -> None:
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._headers = headers_with(api_key)
        self._public = public

    async def complete(self, prompt: Prompt) -> Completion:
        """One POST, one JSON answer."""
        async with posted(self._url, self._headers, request_body(prompt, self._model), public=self._public) as answer:
            return completion_of(await whole(answer))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """One POST, server-sent events; what arrives together is yielded together."""
        body = request_body(prompt, self._model) | {"stream": True, "stream_options": {"include_usage": True}}
        async with posted(self._url, self._headers, body, public=self._public) as answer:
            require_events(answer)
            events = _Events()
            async for data in answer.content.iter_any():
                chunk = events.take(data)
                if chunk.choices or chunk.usage:
                    yield chunk
                if events.failure is not None:
                    raise events.failure
                if events.done:
                    await read_out(answer)
                    break
            events.finish()


class _Events:
    """The events of one stream."""

    def __init__(self) -> None:
        self._data = EventData()
        self._began = self._finished = False
        self.done = False
        self.failure: ProviderError | None = None

    def take(self, data: bytes) -> Chunk:
        """The events that `data` completes, up to one that is none: what came with it was said before it."""
        chunk = Chunk()
        for payload in self._data.take(data):
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                self._finished |= take_event(chunk, json_object(payload))
            except ProviderError as error:
                self.failure = error
                break
        self._began |= bool(chunk.choices)
        return chunk

    def finish(self) -> None:
        """The stream has ended.

        Raises:
            ProviderError: in the middle of an answer, or before one began.
        """
        if not (self.done or self._finished):
            text = "The model's server broke off in the middle of its answer."
            raise ProviderError(text, code="upstream_broke_off")
        if not self._began:
            raise garbage("an answer without choices")
