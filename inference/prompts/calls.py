"""A chat completion that names a prompt, as the one it stands for."""

from typing import Any

from .references import Expanded

#: What a request's own tools leave no room for.
_OF_TOOLS = ("tool_choice", "parallel_tool_calls")


def chat_body(body: dict[str, Any], expanded: Expanded) -> dict[str, Any]:
    """`body` without its `prompt`: the prompt's messages before its own, its defaults where the body says nothing."""
    given = {name: value for name, value in body.items() if value is not None and name != "prompt"}
    defaults = dict(expanded.defaults)
    if "max_tokens" in given:
        defaults.pop("max_completion_tokens", None)
    if "tools" in given:
        for name in _OF_TOOLS:
            defaults.pop(name, None)
    own = given.get("messages", [])
    # What is no list is left for validation to name.
    messages = [*expanded.messages, *own] if isinstance(own, list) else own
    return {**defaults, **given, "messages": messages}
