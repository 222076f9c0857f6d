"""A response that names a prompt, as the one it stands for.

The prompt's messages become its instructions, so that they are its own and no later response's; the reference stays,
with the version that was used.
"""

from typing import Any

from ..prompts import Expanded

#: What a request's own tools leave no room for.
_OF_TOOLS = ("tool_choice", "parallel_tool_calls")


def response_body(body: dict[str, Any], expanded: Expanded) -> dict[str, Any]:
    """`body` with the prompt's messages as instructions before its own, and the prompt's defaults where it says nothing."""
    given = {name: value for name, value in body.items() if value is not None}
    defaults = _defaults(expanded.defaults)
    if "tools" in given:
        for name in _OF_TOOLS:
            defaults.pop(name, None)
    own = given.get("instructions")
    instructions = [_item(message) for message in expanded.messages]
    if isinstance(own, str):
        instructions.append({"role": "system", "content": own})
    text = given.get("text")
    if "text" in defaults and isinstance(text, dict):
        # How much is said may be the request's, in what form the prompt's.
        given["text"] = {**defaults["text"], **text}
    prompt = {**given["prompt"], "version": str(expanded.number)}
    return {**defaults, **given, "instructions": instructions, "prompt": prompt}


def _item(message: dict[str, Any]) -> dict[str, Any]:
    """A chat message as an item."""
    content = message["content"]
    if isinstance(content, str):
        return {"role": message["role"], "content": content}
    return {"role": message["role"], "content": [_part(part) for part in content]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") == "text":
        return {"type": "input_text", "text": part["text"]}
    if part.get("type") == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
    return part  # refused by name where it is validated


def _defaults(chat: dict[str, Any]) -> dict[str, Any]:
    """Defaults, named as in chat completions, in the names and shapes of responses."""
    kept = ("model", "temperature", "top_p", "stop", "parallel_tool_calls")
    found = {name: chat[name] for name in kept if name in chat}
    if "max_completion_tokens" in chat:
        found["max_output_tokens"] = chat["max_completion_tokens"]
    if "reasoning_effort" in chat:
        found["reasoning"] = {"effort": chat["reasoning_effort"]}
    if "tools" in chat:
        found["tools"] = [_flat(tool) for tool in chat["tools"]]
    if "tool_choice" in chat:
        choice = chat["tool_choice"]
        found["tool_choice"] = _flat(choice) if isinstance(choice, dict) else choice
    if "response_format" in chat:
        shape = dict(chat["response_format"])
        found["text"] = {"format": {**shape.pop("json_schema", {}), **shape}}
    return found


def _flat(tool: dict[str, Any]) -> dict[str, Any]:
    """A function of chat, whose members stand one level higher in responses."""
    return {**tool.get("function", {}), **{name: value for name, value in tool.items() if name != "function"}}
