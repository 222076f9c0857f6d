"""Items and a request as a chat request: the canonical form that is admitted, routed, screened and sent to providers.

Chat has no place for reasoning and for searches of earlier answers; they stay behind. A function's call and its output
belong together: what holds one without the other is refused where it is the client's, and left out where it is what
remains of a history whose older part has gone.
"""

from collections.abc import Sequence
from typing import Any

from tenants.errors import InvalidRequest

from ..requests import ChatRequest
from .items import Item
from .requests import LOGPROBS, FunctionTool, ResponseRequest

Message = dict[str, Any]


def messages_of(history: Sequence[Item], given: Sequence[Item]) -> tuple[list[Message], int]:
    """The messages of history and input, and the number of those that history made.

    Raises:
        InvalidRequest: a function's output without its call, or a call without its output.
    """
    called = {item["call_id"] for item in (*history, *given) if item["type"] == "function_call"}
    for item in given:
        if item["type"] == "function_call_output" and item["call_id"] not in called:
            raise InvalidRequest(
                f"No tool call found for function call output with call_id {item['call_id']}.", param="input"
            )
    answered = {item["call_id"] for item in (*history, *given) if item["type"] == "function_call_output"}
    if missing := sorted(called - answered):
        raise InvalidRequest(f"No tool output found for function call {missing[0]}.", param="input")
    messages: list[Message] = []
    for item in history:
        if item["type"] != "function_call_output" or item["call_id"] in called:
            _add(messages, item)
    before = len(messages)
    for item in given:
        _add(messages, item)
    return messages, before


def _add(messages: list[Message], item: Item) -> None:
    match item["type"]:
        case "message":
            _add_message(messages, item)
        case "function_call":
            _add_call(messages, item)
        case "function_call_output":
            output = item["output"]
            text = output if isinstance(output, str) else "\n".join(part["text"] for part in output)
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": text})


def _add_message(messages: list[Message], item: Item) -> None:
    """What the assistant said after its calls is of the same turn: nothing stands between a call and its output."""
    last = messages[-1] if messages else {}
    if item["role"] == "assistant" and last.get("tool_calls"):
        last["content"] = "\n".join(filter(None, (last["content"], _content(item))))
    else:
        messages.append({"role": item["role"], "content": _content(item)})


def _add_call(messages: list[Message], item: Item) -> None:
    """Calls that follow each other, or the text said before them, are one turn of the assistant."""
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _content(item: Item) -> Any:
    """Plain text where it is only text: every upstream reads that."""
    parts = item["content"]
    if item["role"] != "user" or all(part["type"] == "input_text" for part in parts):
        return "\n".join(part.get("text") or part.get("refusal") or "" for part in parts)
    return [
        {"type": "text", "text": part["text"]}
        if part["type"] == "input_text"
        else {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}
        for part in parts
    ]


def chat_request(request: ResponseRequest, messages: list[Message]) -> ChatRequest:
    """What a chat client would send for the same answer; `messages` without the instructions."""
    messages = [*_instructions(request), *messages]
    search = request.file_search()
    functions = [_chat_function(function) for function in request.functions()]
    tools = [*functions, *([search.model_dump(exclude_none=True)] if search else [])]
    wants_logprobs = request.includes(LOGPROBS) or bool(request.top_logprobs)
    return ChatRequest.model_validate(
        {
            "model": request.model,
            "messages": messages,
            "max_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": request.stop,
            "tools": tools or None,
            "tool_choice": _tool_choice(request) if functions else None,
            "parallel_tool_calls": request.parallel_tool_calls if functions else None,
            "response_format": _response_format(request),
            "reasoning_effort": request.reasoning.effort if request.reasoning else None,
            "logprobs": True if wants_logprobs else None,
            "top_logprobs": request.top_logprobs if wants_logprobs else None,
            "stream": bool(request.stream),
            "user": request.user,
            "safety_identifier": request.safety_identifier,
            "metadata": request.metadata,
            "service_tier": request.service_tier,
        }
    )


def _instructions(request: ResponseRequest) -> list[Message]:
    given = request.instructions
    if isinstance(given, str):
        return [{"role": "system", "content": given}] if given else []
    return messages_of([], given or [])[0]


def _chat_function(tool: FunctionTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude_none=True, exclude={"type"})}


def _tool_choice(request: ResponseRequest) -> str | dict[str, Any] | None:
    choice = request.tool_choice
    if not isinstance(choice, dict):
        return choice
    if choice["type"] == "function":
        return {"type": "function", "function": {"name": choice["name"]}}
    # The tools are those that it allows already; a search is always made where there is one.
    return choice.get("mode", "auto") if choice["type"] == "allowed_tools" else "auto"


def _response_format(request: ResponseRequest) -> dict[str, Any] | None:
    wanted = request.text.format if request.text else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    described = {"name": wanted.name, "description": wanted.description, "strict": wanted.strict}
    given = {name: value for name, value in described.items() if value is not None}
    return {"type": "json_schema", "json_schema": {**given, "schema": wanted.schema_}}
