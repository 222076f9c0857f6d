"""What the hot path answers, as schemas for the OpenAPI document; requests are described by `inference.requests`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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


class Item(BaseModel):
    """A message, a call of a function or its output, a search of files, or reasoning; `type` says which."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: Literal["message", "function_call", "function_call_output", "file_search_call", "reasoning"]
    status: Literal["in_progress", "completed", "incomplete", "searching", "failed"] | None = None


class ItemList(BaseModel):
    """A page of items."""

    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ResponseUsage(BaseModel):
    """The tokens of a response, as they are charged."""

    input_tokens: int
    input_tokens_details: TokenDetails
    output_tokens: int
    output_tokens_details: TokenDetails
    total_tokens: int


class ResponseFailure(BaseModel):
    """Why there is no answer."""

    code: str
    message: str
    param: str | None = None
    type: str | None = None
    reason: str | None = Field(None, description="Stable; made for programs.")


class ResponseObject(BaseModel):
    """A response. Beside these members it repeats those of the request."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"]
    created_at: int = Field(description="Unix seconds.")
    completed_at: int | None = None
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[Item]
    usage: ResponseUsage | None = None
    error: ResponseFailure | None = None
    incomplete_details: dict[str, Any] | None = None
    previous_response_id: str | None = None
    conversation: dict[str, Any] | None = None
    metadata: dict[str, str] = {}


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
