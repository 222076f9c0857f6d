"""The body of `POST /v1/chat/completions` and `/v1/embeddings`: what is understood, and its bounds (wire.md, Surface).

Unknown members are ignored, as the wire demands. Members that Atrium does not interpret go to the upstream as they are.
"""

import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from tenants.errors import InvalidRequest

#: Members that are Atrium's own business and never reach an upstream.
OWN_MEMBERS = frozenset(
    {
        "model",
        "prompt",
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "metadata",
        "store",
        "service_tier",
        "tools",
    }
    | {"max_tokens", "max_completion_tokens", "cache", "timeout"}
)


T = TypeVar("T", bound=BaseModel)
#: NUL, which Postgres cannot hold: a backslash before `u0000` that is not itself escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Lenient(BaseModel):
    """Ignores what it does not know."""

    model_config = ConfigDict(extra="ignore")


class Message(BaseModel):
    """One turn. Parts and tool calls are passed through as the client wrote them."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _has_something(self) -> "Message":
        if self.content is None and self.role in ("system", "developer", "user"):
            raise ValueError(f"a {self.role} message needs content")
        for part in self.content if isinstance(self.content, list) else ():
            if not isinstance(part.get("type"), str):
                raise ValueError("a content part needs a type")
        return self

    def text(self) -> str:
        """The text of the message, its text parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part.get("text", "")) for part in self.content or () if part.get("type") == "text")


class StreamOptions(Lenient):
    """What the stream should add."""

    include_usage: bool = False


class RankingOptions(Lenient):
    """How `file_search` ranks."""

    ranker: str = "auto"
    score_threshold: float = Field(default=0.0, ge=0, le=1)
    mmr_lambda: float = Field(default=1.0, ge=0, le=1)
    neighbors: int = Field(default=0, ge=0, le=5)


class FileSearch(Lenient):
    """The `file_search` entry of `tools`: answer from these vector stores."""

    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1, max_length=8)
    max_num_results: int = Field(default=6, ge=1, le=50)
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions = RankingOptions()


class PromptReference(Lenient):
    """A prompt of the tenant, a version of it (number or label; `production` if left out), and its variables' values."""

    id: str = Field(min_length=1, max_length=200)
    version: str | int | None = None
    variables: dict[str, Any] | None = None


class ChatRequest(Lenient):
    """A chat completion request."""

    model: str = Field(min_length=1, max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=2048)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    n: int | None = Field(default=None, ge=1, le=16)
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=128)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    user: str | None = Field(default=None, max_length=200)
    safety_identifier: str | None = Field(default=None, max_length=200)
    metadata: dict[str, str] | None = None
    store: bool | None = None
    prompt: PromptReference | None = Field(
        default=None,
        description="Atrium's own. Its messages go before `messages`, which may then be missing, and its defaults (`model` "
        "among them) fill what the request leaves out. The answer's header `x-atrium-prompt-version` says the version.",
    )
    service_tier: str | None = None
    cache: bool | None = Field(default=None, description="False: neither answered from the response cache nor kept.")
    timeout: float | None = Field(
        default=None, gt=0, description="Seconds after which the call is broken off, where the platform allows longer."
    )

    @property
    def output_limit(self) -> int | None:
        """The output tokens that the client allows a choice, in either spelling."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def end_user(self) -> str:
        """The client's end user, opaque to Atrium."""
        return self.safety_identifier or self.user or ""

    def file_search(self) -> FileSearch | None:
        """The `file_search` tool, if the request has one."""
        found = [tool for tool in self.tools or () if tool.get("type") == "file_search"]
        return parse(FileSearch, found[0], prefix="tools.") if found else None

    def function_names(self) -> frozenset[str]:
        """The functions that the request offers to the model."""
        given = (tool.get("function") for tool in self.tools or ())
        return frozenset(
            str(function["name"]) for function in given if isinstance(function, dict) and "name" in function
        )

    def upstream_body(self) -> dict[str, Any]:
        """What an OpenAI-compatible upstream is sent, without model, limits and Atrium's own members."""
        body = self.model_dump(exclude_none=True, exclude=set(OWN_MEMBERS))
        functions = [tool for tool in self.tools or () if tool.get("type") != "file_search"]
        if functions:
            body["tools"] = functions
        else:
            body.pop("tool_choice", None)
            body.pop("parallel_tool_calls", None)
        return body


class EmbeddingsRequest(Lenient):
    """An embeddings request."""

    model: str = Field(min_length=1, max_length=200)
    input: str | list[str] | list[StrictInt] | list[list[StrictInt]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = Field(default=None, max_length=200)
    metadata: dict[str, str] | None = Field(
        default=None, description="An extension: what the tenant activated of it becomes allocation tags."
    )

    @property
    def end_user(self) -> str:
        """The client's end user, opaque to Atrium."""
        return self.user or ""

    def passages(self) -> list[str] | list[list[int]]:
        """What to embed, one vector each: texts, or token arrays, which the model's own server alone can read.

        Raises:
            InvalidRequest: none, too many, an empty one, or what is no token.
        """
        passages = self.input if isinstance(self.input, list) else [self.input]
        if passages and isinstance(passages[0], int):
            passages = [passages]
        if not passages or len(passages) > 2048:
            raise InvalidRequest("'input' must hold 1 to 2048 texts or token arrays.", param="input")
        if not all(passages):
            raise InvalidRequest("'input' must not hold an empty text or token array.", param="input")
        if any(token < 0 for tokens in passages if isinstance(tokens, list) for token in tokens):
            raise InvalidRequest("'input' must not hold a negative token.", param="input")
        return passages  # type: ignore[return-value]


def parse(model: type[T], data: Any, *, prefix: str = "") -> T:
    """`data` (JSON bytes or decoded) as `model`.

    Raises:
        InvalidRequest: naming the parameter at fault.
    """
    if isinstance(data, bytes) and _NUL.search(data):
        raise InvalidRequest("The body must not hold NUL characters (\\u0000).")
    try:
        if isinstance(data, bytes):
            return model.model_validate_json(data)
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidRequest(f"We could not parse the JSON body of your request: {first['msg']}") from error
        # Beside members and positions the path names the branches of unions, by their types.
        path = [str(part) for part in first["loc"]]
        param = prefix + ".".join(part for part in path if part != "str" and not part.startswith(("list[", "dict[")))
        raise InvalidRequest(f"Invalid '{param}': {first['msg']}.", param=param or None) from error
