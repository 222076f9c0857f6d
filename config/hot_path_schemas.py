"""What the hot path answers, as schemas for the OpenAPI document; requests are described by `inference.requests`."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    """What went wrong. Further members say more where there is more: the limit, what was used, when it resets."""

    message: str = Field(description="What was wrong and what to do.")
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(description="The parameter at fault.")
    code: str | None = Field(description="Stable; made for programs.", examples=["model_not_found"])


class Error(BaseModel):
    """Every error of the endpoints that OpenAI's clients know."""

    error: ErrorDetail


class Problem(BaseModel):
    """Every error of Atrium's own endpoints: a problem document (RFC 9457) with the same `error` added."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(description="The status in words.")
    status: int
    detail: str
    error: ErrorDetail


class TokenDetails(BaseModel):
    """Tokens counted within others."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class CompletionUsage(BaseModel):
    """The tokens of a completion, as they are charged."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None


class AssistantMessage(BaseModel):
    """The model's turn."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] | None = Field(None, description="`file_citation`s of an answer from files.")


class Choice(BaseModel):
    """One of the `n` answers."""

    index: int
    message: AssistantMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class ChatCompletion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int = Field(description="Unix seconds.")
    model: str
    choices: list[Choice]
    usage: CompletionUsage


class ChunkChoice(BaseModel):
    """What one of the answers grew by."""

    index: int
    delta: dict[str, Any] = Field(description="Members of the message; the first of a choice carries its `role`.")
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None


class ChatCompletionChunk(BaseModel):
    """The JSON of one server-sent event."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice] = Field(description="Empty in the chunk that carries the usage.")
    usage: CompletionUsage | None = None


class Embedding(BaseModel):
    """A vector; base64 of little-endian float32 where the request asks for `base64`."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """The tokens that were embedded."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """One vector for each input, in its order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
