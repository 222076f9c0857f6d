"""OpenAI's chat body as a request of `/responses`.

Nothing is kept at the server. `stop`, penalties and several choices, which that API does not have, are refused with the
parameter's name; `seed` is left out.
"""

from typing import Any

from ..base import Prompt
from ..refusing import cannot, refuse_unknown

_SERVER = "a server that speaks /responses only"
_SAME = ("temperature", "top_p", "parallel_tool_calls")
_PARTS = {"text": "input_text", "image_url": "input_image", "file": "input_file", "input_audio": "input_audio"}


def responses_body(prompt: Prompt, model: str) -> dict[str, Any]:
    """What is posted, without `stream`.

    Raises:
        ProviderError: 400, naming what that API cannot do.
    """
    body = prompt.body
    refuse_unknown(body, _SERVER, "stop", "logit_bias", "presence_penalty", "frequency_penalty")
    asked: dict[str, Any] = {
        "model": model,
        "input": _input(body.get("messages") or []),
        "max_output_tokens": prompt.max_output_tokens,
        "store": False,
        **{name: body[name] for name in _SAME if body.get(name) is not None},
    }
    if body.get("tools"):
        asked["tools"] = [_tool(tool) for tool in body["tools"]]
        asked |= _tool_choice(body.get("tool_choice"))
    if text := _text(body):
        asked["text"] = text
    if body.get("reasoning_effort"):
        asked["reasoning"] = {"effort": body["reasoning_effort"]}
    if body.get("logprobs"):
        asked |= {"include": ["message.output_text.logprobs"], "top_logprobs": body.get("top_logprobs") or 0}
    return asked


def _input(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        items += _items(message, f"messages.{position}")
    return items


def _items(message: dict[str, Any], where: str) -> list[dict[str, Any]]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        output = content if isinstance(content, str) else _joined(content)
        return [{"type": "function_call_output", "call_id": str(message.get("tool_call_id") or ""), "output": output}]
    if role == "assistant":
        said = [{"role": "assistant", "content": text}] if (text := _joined(content)) else []
        return said + [_call(call, where) for call in message.get("tool_calls") or ()]
    if role not in ("user", "system", "developer"):
        raise cannot(_SERVER, f"knows no messages of role '{role}'", f"{where}.role")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    parts = [_part(part, f"{where}.content.{number}") for number, part in enumerate(content or ())]
    return [{"role": role, "content": parts}]


def _joined(content: Any) -> str:
    """The text of an answer or a tool's result, of its parts where it has several."""
    if not isinstance(content, list):
        return content or ""
    return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in content)


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    kind = _PARTS.get(str(part.get("type")))
    if kind is None:
        raise cannot(_SERVER, f"takes no parts of type '{part.get('type')}'", f"{where}.type")
    given = part.get(str(part["type"]))
    if kind == "input_text":
        return {"type": kind, "text": str(given or "")}
    if not isinstance(given, dict):
        raise cannot(_SERVER, f"needs an object for '{part['type']}'", where)
    if kind == "input_image":
        return {"type": kind, "image_url": given.get("url"), "detail": given.get("detail") or "auto"}
    return {"type": kind, **given} if kind == "input_file" else {"type": kind, "input_audio": given}


def _call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not function.get("name"):
        raise cannot(_SERVER, "takes calls of functions only", f"{where}.tool_calls")
    arguments = str(function.get("arguments") or "{}")
    name = str(function["name"])
    return {"type": "function_call", "call_id": str(call.get("id") or ""), "name": name, "arguments": arguments}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        raise cannot(_SERVER, "is asked for functions only", "tools")
    # Chat completions are lenient unless told otherwise, responses strict.
    return {"type": "function", "parameters": {"type": "object", "properties": {}}, "strict": False, **function}


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"tool_choice": choice}
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        return {"tool_choice": {"type": "function", "name": choice["function"].get("name")}}
    return {}


def _text(body: dict[str, Any]) -> dict[str, Any]:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_schema", "json_object"):
        return {}
    if wanted["type"] == "json_object":
        return {"format": {"type": "json_object"}}
    return {"format": {"name": "answer", **(wanted.get("json_schema") or {}), "type": "json_schema"}}
