"""The `Response` object, in the SDK's shape, at every moment of its life."""

from typing import Any
from uuid import UUID

from tenants.ids import public_id

from ..providers.base import Usage
from .items import Item
from .requests import ResponseRequest

PREFIX = "resp_"
#: Our stable codes that have a counterpart among the SDK's; the rest are the server's errors.
_CODES = {"rate_limit_exceeded": "rate_limit_exceeded", "insufficient_quota": "rate_limit_exceeded"}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage in the shape of responses."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def error_json(error: dict[str, Any]) -> dict[str, Any]:
    """An error's body as a response's `error`: a code that the SDK knows, and ours as `reason`."""
    detail = error["error"]
    refused = detail.get("type") == "invalid_request_error"
    code = _CODES.get(str(detail.get("code")), "invalid_prompt" if refused else "server_error")
    return {
        "code": code,
        "message": detail["message"],
        "param": detail.get("param"),
        "type": detail.get("type"),
        "reason": detail.get("code"),
    }


def response_json(
    request: ResponseRequest,
    *,
    id: UUID,
    created: int,
    status: str,
    output: list[Item] | None = None,
    usage: Usage | None = None,
    error: dict[str, Any] | None = None,
    incomplete: str | None = None,
    completed: int | None = None,
) -> dict[str, Any]:
    """The whole object.

    Args:
        created, completed: Unix seconds.
        error: the body of an error.
        incomplete: why the answer is shorter than the model wanted.
    """
    return {
        "id": public_id(PREFIX, id),
        "object": "response",
        "created_at": created,
        "status": status,
        "background": bool(request.background),
        "completed_at": completed,
        "error": error_json(error) if error else None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "instructions": _instructions(request),
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "model": request.model,
        "output": output or [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "conversation": {"id": request.conversation_id} if request.conversation_id else None,
        "prompt": request.prompt.model_dump(exclude_none=True) if request.prompt else None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {
            "effort": request.reasoning.effort if request.reasoning else None,
            "summary": request.reasoning.summary if request.reasoning else None,
        },
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": request.is_stored,
        "temperature": request.temperature,
        "text": _text(request),
        "tool_choice": request.tool_choice or "auto",
        "tools": [_tool(tool) for tool in request.tools or ()],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": request.truncation or ("auto" if request.has_history else "disabled"),
        "usage": usage_json(usage) if usage else None,
        "user": request.user,
        "metadata": request.metadata or {},
    }


def _instructions(request: ResponseRequest) -> Any:
    """As they are; what an assistant is said to have said, as plain text: it came from no response."""
    given = request.instructions
    if not isinstance(given, list):
        return given
    return [
        {**item, "content": "\n".join(part.get("text", "") for part in item["content"])}
        if item.get("role") == "assistant"
        else item
        for item in given
    ]


def _text(request: ResponseRequest) -> dict[str, Any]:
    given = request.text.model_dump(exclude_none=True, by_alias=True) if request.text else {}
    return {"format": {"type": "text"}, **given}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": None, "strict": None, **tool} if tool.get("type") == "function" else tool
