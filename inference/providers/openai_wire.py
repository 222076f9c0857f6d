"""What servers that speak OpenAI's HTTP API answer: JSON bodies, events of a stream, refusals. Shared by the clients."""

from collections.abc import Mapping
from typing import Any

import orjson

from .base import Chunk, Completion, Prompt, ProviderError, Usage

#: An answer or a single event beyond this is garbage, not text.
MAX_ANSWER_BYTES = 32 * 1024 * 1024


def request_body(prompt: Prompt, model: str) -> dict[str, Any]:
    """What the server is asked."""
    return {**prompt.body, "model": model, prompt.limit_member: prompt.max_output_tokens}


def completion_of(body: bytes) -> Completion:
    """A whole answer.

    Raises:
        ProviderError: it is none.
    """
    data = json_object(body)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise garbage("an answer without choices")
    if not all(has_member(choice, "message") and choice.get("message") is not None for choice in choices):
        raise garbage("choices without messages")
    return Completion(choices, usage_of(data.get("usage")))


def take_event(chunk: Chunk, data: dict[str, Any]) -> bool:
    """Add an event to `chunk`; true when it finishes a choice."""
    if "error" in data:
        error = data["error"] if isinstance(data["error"], dict) else {"message": str(data["error"])}
        raise ProviderError(str(error.get("message", "The model's server failed.")), code="upstream_error")
    choices = data.get("choices")
    if choices is not None and not (
        isinstance(choices, list) and all(has_member(choice, "delta") for choice in choices)
    ):
        raise garbage("choices that are none")
    if choices:
        chunk.choices.append(choices)
    if data.get("usage"):
        chunk.usage = usage_of(data["usage"])
    return any(choice.get("finish_reason") for choice in choices or ())


def has_member(choice: Any, member: str) -> bool:
    """Whether it is a choice, with an object under `member` if it has that at all."""
    return isinstance(choice, dict) and isinstance(choice.get(member) or {}, dict)


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ProviderError: it is none.
    """
    try:
        decoded = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise garbage("something that is not JSON") from error
    if not isinstance(decoded, dict):
        raise garbage("JSON that is not an object")
    return decoded


def usage_of(data: Any) -> Usage | None:
    """The usage that a server reports; None where it reports none that makes sense."""
    if not isinstance(data, dict):
        return None
    try:
        return Usage(
            input_tokens=max(0, int(data["prompt_tokens"])),
            output_tokens=max(0, int(data["completion_tokens"])),
            cached_input_tokens=int((data.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
            reasoning_tokens=int((data.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def garbage(what: str) -> ProviderError:
    """The server sent something else than the protocol allows."""
    return ProviderError(f"The model's server sent {what}.", code="upstream_garbage")


def status_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The upstream's refusal in our taxonomy; 4xx about the request itself are the client's to read."""
    try:
        error = orjson.loads(body).get("error")
        said = error if isinstance(error, dict) else {"message": str(error)}
    except (orjson.JSONDecodeError, AttributeError):
        said = {}
    message = str(said.get("message") or f"The model's server answered {status}.")[:2000]
    if status in (400, 413, 422):
        code = str(said.get("code") or "upstream_refused")
        param = said.get("param") if isinstance(said.get("param"), str) else None
        return ProviderError(message, code=code, status=400, temporary=False, param=param)
    if status in (401, 403):
        text = "The platform's credentials for this model were refused."
        return ProviderError(text, code="upstream_credentials", temporary=False)
    if status == 404:
        return ProviderError(
            "The model's server does not know the model.", code="upstream_model_missing", temporary=False
        )
    if status == 429:
        after = headers.get("retry-after", "")
        wait = float(after) if after.replace(".", "", 1).isdecimal() else 1.0
        return ProviderError(
            "The model's server is overloaded.", code="upstream_rate_limited", status=503, retry_after=wait
        )
    return ProviderError("The model's server failed.", code="upstream_error")
