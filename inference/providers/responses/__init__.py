"""Servers that speak OpenAI's `/responses` and no chat completions: chat bodies go there and come back as such."""

from collections.abc import AsyncGenerator

from ..base import Chunk, Completion, Prompt, ProviderError
from ..openai_http import EventData, headers_with, posted, read_out, require_events, whole
from ..openai_wire import json_object
from .answer import ResponseEvents, completion
from .request import responses_body


class OpenAIResponses:
    """One deployment behind `base_url`."""

    def __init__(self, *, base_url: str, model: str, api_key: str, public: bool = False) -> None:
        self._url = base_url.rstrip("/") + "/responses"
        self._model = model
        self._headers = headers_with(api_key)
        self._public = public

    async def complete(self, prompt: Prompt) -> Completion:
        """One POST, one JSON answer.

        Raises:
            ProviderError: it failed, or cannot do what the prompt asks.
        """
        async with posted(self._url, self._headers, responses_body(prompt, self._model), public=self._public) as answer:
            return completion(json_object(await whole(answer)))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """One POST, server-sent events; what arrives together is yielded together. Raises like `complete`."""
        body = responses_body(prompt, self._model) | {"stream": True}
        async with posted(self._url, self._headers, body, public=self._public) as answer:
            require_events(answer)
            data, events = EventData(), ResponseEvents()
            async for part in answer.content.iter_any():
                chunk = Chunk()
                for payload in data.take(part):
                    if payload != b"[DONE]":
                        events.take(json_object(payload), chunk)
                if chunk.choices or chunk.usage:
                    yield chunk
                if events.finished:
                    await read_out(answer)
                    break
            if not events.finished:
                text = "The model's server broke off in the middle of its answer."
                raise ProviderError(text, code="upstream_broke_off")
