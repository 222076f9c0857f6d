"""The body of `POST /v1/responses`: what is understood, and its bounds. Unknown members are ignored."""

from typing import Any, Literal

from pydantic import Field, field_validator

from tenants.errors import InvalidRequest

from ..requests import FileSearch, Lenient, PromptReference, parse
from .items import normalised

Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
RESULTS: Include = "file_search_call.results"
LOGPROBS: Include = "message.output_text.logprobs"
_MOST_PAIRS, _KEY_LENGTH, _VALUE_LENGTH = 16, 64, 512


class UnsupportedTool(InvalidRequest):
    """A tool that Atrium does not run."""

    code = "unsupported_tool"


class FunctionTool(Lenient):
    """A function of the client's own program that the model may call."""

    type: Literal["function"]
    name: str = Field(min_length=1, max_length=128)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class TextFormat(Lenient):
    """The form of the text: free, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(default=None, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class Text(Lenient):
    """How the answer's text should be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Lenient):
    """How much the model should think first."""

    effort: str | None = Field(default=None, max_length=16)
    summary: Literal["auto", "concise", "detailed"] | None = None


class ConversationReference(Lenient):
    """The conversation that this response belongs to."""

    id: str


class StreamOptions(Lenient):
    """Accepted for clients that send it; streams are not padded."""

    include_obfuscation: bool | None = None


def check_metadata(given: dict[str, str] | None) -> dict[str, str] | None:
    """Metadata within OpenAI's bounds: 16 pairs, keys of 64 characters, values of 512.

    Raises:
        ValueError: it is not.
    """
    pairs = given or {}
    if len(pairs) > _MOST_PAIRS:
        raise ValueError(f"at most {_MOST_PAIRS} pairs")
    for key, value in pairs.items():
        if len(key) > _KEY_LENGTH or len(value) > _VALUE_LENGTH:
            raise ValueError(f"keys have at most {_KEY_LENGTH} characters, values {_VALUE_LENGTH}")
    return given


class ResponseRequest(Lenient):
    """A response to create. `input` holds items in their full form once `understood` has looked at it."""

    model: str = Field(min_length=1, max_length=200)
    input: str | list[dict[str, Any]] | None = Field(
        default=None,
        description="A text, or items: messages (`input_text`, `input_image`), `function_call`, `function_call_output`, "
        "`reasoning`, `file_search_call`, `item_reference`.",
    )
    instructions: str | list[dict[str, Any]] | None = Field(
        default=None, description="What stands before everything else, and is not carried to later responses."
    )
    tools: list[dict[str, Any]] | None = Field(
        default=None, max_length=128, description="`function` and one `file_search`; others are refused."
    )
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    include: list[Include] | None = None
    text: Text | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    max_output_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = Field(default=None, description="As in chat completions; an extension.")
    max_tool_calls: int | None = Field(default=None, ge=1)
    truncation: Literal["auto", "disabled"] | None = Field(
        default=None,
        description="`auto`: the oldest turns are left out where the context window is too small; `disabled`: such a "
        "request is refused. By default what came before is shortened, and the input is not.",
    )
    reasoning: Reasoning | None = None
    metadata: dict[str, str] | None = None
    user: str | None = Field(default=None, max_length=200)
    safety_identifier: str | None = Field(default=None, max_length=200)
    prompt_cache_key: str | None = Field(default=None, max_length=200)
    service_tier: str | None = Field(default=None, max_length=16)
    store: bool | None = Field(default=None, description="False: nothing of it is kept, and it cannot be retrieved.")
    previous_response_id: str | None = Field(default=None, max_length=100)
    conversation: str | ConversationReference | None = None
    background: bool | None = Field(default=None, description="Answers `queued` at once; poll it by its id.")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    prompt: PromptReference | None = None

    _bounded = field_validator("metadata")(check_metadata)

    @property
    def end_user(self) -> str:
        """The client's end user, opaque to Atrium."""
        return self.safety_identifier or self.user or ""

    @property
    def is_stored(self) -> bool:
        """Whether it can be retrieved afterwards."""
        return self.store is not False

    @property
    def conversation_id(self) -> str | None:
        """The conversation's public id, in whichever form it came."""
        given = self.conversation
        return given.id if isinstance(given, ConversationReference) else given

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input's items in their full form."""
        return self.input if isinstance(self.input, list) else []

    @property
    def names_items(self) -> bool:
        """Whether the input refers to items that stand elsewhere."""
        return any(item["type"] == "item_reference" for item in self.items)

    @property
    def has_history(self) -> bool:
        """Whether something came before the input."""
        return self.previous_response_id is not None or self.conversation is not None

    def includes(self, wanted: Include) -> bool:
        """Whether the client asked for this addition."""
        return wanted in (self.include or ())

    def file_search(self) -> FileSearch | None:
        """The `file_search` tool, if the request has one and lets the model use it."""
        for position, tool in enumerate(self.tools or ()):
            if tool.get("type") == "file_search" and self._allows(tool):
                return parse(FileSearch, tool, prefix=f"tools.{position}.")
        return None

    def functions(self) -> list[FunctionTool]:
        """The functions that the model may call."""
        return [
            parse(FunctionTool, tool, prefix=f"tools.{position}.")
            for position, tool in enumerate(self.tools or ())
            if tool.get("type") == "function" and self._allows(tool)
        ]

    def _allows(self, tool: dict[str, Any]) -> bool:
        """What `tool_choice` leaves of the tools: all, none, or those that it lists."""
        choice = self.tool_choice
        if choice == "none":
            return tool.get("type") == "function"
        if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
            listed = [known for known in choice.get("tools") or () if isinstance(known, dict)]
            return any(
                known.get("type") == tool.get("type") and known.get("name") in (None, tool.get("name"))
                for known in listed
            )
        return True


def understood(body: Any) -> ResponseRequest:
    """A body (JSON bytes or decoded) as a request, its members checked against each other.

    Raises:
        InvalidRequest: naming the parameter at fault.
    """
    request = parse(ResponseRequest, body)
    _check_together(request)
    _check_tools(request)
    _check_format(request)
    items = normalised(request.input if request.input is not None else [], param="input")
    if not items and not request.has_history and request.prompt is None:
        raise InvalidRequest("'input' must hold a text or at least one item.", param="input")
    instructions: Any = request.instructions
    if isinstance(instructions, list):
        instructions = normalised(instructions, param="instructions")
    return request.model_copy(update={"input": items, "instructions": instructions})


def _check_together(request: ResponseRequest) -> None:
    """Members that exclude each other."""
    if request.previous_response_id is not None and request.conversation is not None:
        raise InvalidRequest(
            "'previous_response_id' and 'conversation' both say what came before: send one of them.",
            param="previous_response_id",
        )
    if request.background and not request.is_stored:
        raise InvalidRequest("A response in the background needs 'store', or it could not be fetched.", param="store")
    if request.conversation is not None and not request.is_stored:
        raise InvalidRequest(
            "A response with 'store': false keeps nothing and so cannot be added to a conversation.", param="store"
        )


def _check_tools(request: ResponseRequest) -> None:
    searches = 0
    for position, tool in enumerate(request.tools or ()):
        match tool.get("type"):
            case "function":
                parse(FunctionTool, tool, prefix=f"tools.{position}.")
            case "file_search":
                parse(FileSearch, tool, prefix=f"tools.{position}.")
                searches += 1
            case other:
                raise UnsupportedTool(
                    f"Tools of type '{other}' are not supported. Supported: function, file_search.",
                    param=f"tools.{position}.type",
                )
    if searches > 1:
        raise InvalidRequest("One 'file_search' tool may name several vector stores; send one.", param="tools")
    _check_choice(request)


def _check_choice(request: ResponseRequest) -> None:
    choice = request.tool_choice
    if not isinstance(choice, dict):
        return
    kind = choice.get("type")
    if kind not in ("function", "file_search", "allowed_tools"):
        raise UnsupportedTool(
            f"A tool_choice of type '{kind}' is not supported. Supported: function, file_search, allowed_tools.",
            param="tool_choice",
        )
    offered = {(tool.get("type"), tool.get("name")) for tool in request.tools or ()}
    if kind == "allowed_tools":
        if choice.get("mode", "auto") not in ("auto", "required") or not isinstance(choice.get("tools"), list):
            raise InvalidRequest("'allowed_tools' needs a mode, auto or required, and tools.", param="tool_choice")
    elif (kind, choice.get("name")) not in offered:
        raise InvalidRequest(f"'tool_choice' names a {kind} that 'tools' does not offer.", param="tool_choice")


def _check_format(request: ResponseRequest) -> None:
    wanted = request.text.format if request.text else None
    if wanted is not None and wanted.type == "json_schema" and (wanted.schema_ is None or not wanted.name):
        raise InvalidRequest("A format of type 'json_schema' needs 'name' and 'schema'.", param="text.format")
