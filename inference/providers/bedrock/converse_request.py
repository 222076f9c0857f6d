"""OpenAI's chat body as the arguments of Converse.

What Bedrock cannot do and would change the answer (several choices, logprobs, penalties, images by address) is refused
with the parameter's name. `seed` is a wish at OpenAI too and is left out, as is `parallel_tool_calls`.
"""

from typing import Any

import orjson

from ..base import Prompt
from ..refusing import cannot, refuse_unknown
from .attachments import document, image

_SERVER = "Amazon Bedrock"
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_ONLY_JSON = "Answer with one JSON object and nothing else."


def converse_arguments(prompt: Prompt, model: str) -> dict[str, Any]:
    """What `client.converse` and `client.converse_stream` take.

    Raises:
        ProviderError: 400, naming what cannot be asked of Bedrock.
    """
    body = prompt.body
    refuse_unknown(body, _SERVER, "logprobs", "logit_bias", "presence_penalty", "frequency_penalty")
    messages = body.get("messages") or []
    arguments: dict[str, Any] = {
        "modelId": model,
        "messages": _turns(messages),
        "inferenceConfig": _inference(body, prompt.max_output_tokens),
    }
    if system := _system(messages, body.get("response_format")):
        arguments["system"] = system
    if tools := _tools(body, messages):
        arguments["toolConfig"] = tools
    if output := _output(body, model):
        arguments["outputConfig"] = output
    if _speaks_openai(model) and body.get("reasoning_effort"):
        arguments["additionalModelRequestFields"] = {"reasoning_effort": body["reasoning_effort"]}
    return arguments


def _inference(body: dict[str, Any], limit: int) -> dict[str, Any]:
    found: dict[str, Any] = {"maxTokens": limit}
    if body.get("temperature") is not None:
        found["temperature"] = body["temperature"]
    if body.get("top_p") is not None:
        found["topP"] = body["top_p"]
    if stop := body.get("stop"):
        found["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)
    return found


def _system(messages: list[dict[str, Any]], response_format: Any) -> list[dict[str, Any]]:
    """Every system and developer message, wherever it stands: Converse keeps them apart from the turns."""
    found: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        if message.get("role") in ("system", "developer"):
            found += _parts(message.get("content"), f"messages.{position}.content")
    if isinstance(response_format, dict) and response_format.get("type") == "json_object":
        found.append({"text": _ONLY_JSON})
    return found


def _turns(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """User and assistant by turns, as Converse wants them: neighbours of one role are joined."""
    turns: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        if message.get("role") in ("system", "developer"):
            continue
        role, content = _turn(message, f"messages.{position}")
        if not content:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        else:
            turns.append({"role": role, "content": content})
    if not turns:
        raise cannot(_SERVER, "needs a user message with content", "messages")
    return turns


def _turn(message: dict[str, Any], where: str) -> tuple[str, list[dict[str, Any]]]:
    role = message.get("role")
    if role == "assistant":
        thoughts = [_thought(block) for block in message.get("thinking_blocks") or ()]
        calls = [_tool_use(call, where) for call in message.get("tool_calls") or ()]
        return "assistant", [*thoughts, *_parts(message.get("content"), f"{where}.content"), *calls]
    if role == "tool":
        content = _parts(message.get("content"), f"{where}.content") or [{"text": "(empty)"}]
        return "user", [{"toolResult": {"toolUseId": str(message.get("tool_call_id") or ""), "content": content}}]
    if role == "user":
        return "user", _parts(message.get("content"), f"{where}.content")
    raise cannot(_SERVER, f"knows no messages of role '{role}'", f"{where}.role")


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    """Content blocks; empty texts are left out, which Converse would refuse."""
    if isinstance(content, str):
        return [{"text": content}] if content else []
    blocks: list[dict[str, Any]] = []
    for number, part in enumerate(content or ()):
        if (block := _part(part, f"{where}.{number}")) is not None:
            blocks.append(block)
            if part.get("cache_control"):
                blocks.append({"cachePoint": {"type": "default"}})
    return blocks


def _part(part: dict[str, Any], where: str) -> dict[str, Any] | None:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        return {"text": text} if isinstance(text, str) and text else None
    if kind == "image_url":
        return {"image": image(part.get("image_url"), where)}
    if kind == "file":
        return {"document": document(part.get("file"), where)}
    raise cannot(_SERVER, f"takes no parts of type '{kind}' here", f"{where}.type")


def _thought(block: dict[str, Any]) -> dict[str, Any]:
    """What an earlier answer thought, as it was given: Bedrock checks its signature."""
    text = {"text": str(block.get("thinking") or "")}
    if block.get("signature"):
        text["signature"] = str(block["signature"])
    return {"reasoningContent": {"reasoningText": text}}


def _tool_use(call: Any, where: str) -> dict[str, Any]:
    where = f"{where}.tool_calls"
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not function.get("name"):
        raise cannot(_SERVER, "calls functions and no other tools", where)
    try:
        given = orjson.loads(function.get("arguments") or "{}")
    except (orjson.JSONDecodeError, TypeError) as error:
        raise cannot(_SERVER, "takes the arguments of a call as JSON only", where) from error
    if not isinstance(given, dict):
        raise cannot(_SERVER, "takes the arguments of a call as a JSON object only", where)
    return {"toolUse": {"toolUseId": str(call.get("id") or ""), "name": str(function["name"]), "input": given}}


def _tools(body: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The functions on offer. A conversation that holds calls needs them declared, whatever is on offer now."""
    choice = body.get("tool_choice")
    called = _called(messages)
    offered = [] if choice == "none" and not called else [_spec(tool) for tool in body.get("tools") or ()]
    names = {tool["toolSpec"]["name"] for tool in offered}
    offered += [_unknown(name) for name in called if name not in names]
    if not offered:
        return None
    config: dict[str, Any] = {"tools": offered}
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        config["toolChoice"] = {"tool": {"name": str(choice["function"].get("name") or "")}}
    return config


def _called(messages: list[dict[str, Any]]) -> list[str]:
    calls = [call for message in messages for call in message.get("tool_calls") or () if isinstance(call, dict)]
    return list(dict.fromkeys(str((call.get("function") or {}).get("name")) for call in calls))


def _spec(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict) or not function.get("name"):
        raise cannot(_SERVER, "knows functions and no other tools", "tools")
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    spec: dict[str, Any] = {"name": str(function["name"]), "inputSchema": {"json": schema}}
    if function.get("description"):
        spec["description"] = str(function["description"])
    if function.get("strict"):
        spec["strict"] = True
    return {"toolSpec": spec}


def _unknown(name: str) -> dict[str, Any]:
    """A function that was called earlier and is no longer on offer."""
    return {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}}


def _output(body: dict[str, Any], model: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        found["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": _json_schema(wanted)}}
    effort = "low" if body.get("reasoning_effort") == "minimal" else body.get("reasoning_effort")
    if effort in _EFFORTS and not _speaks_openai(model):
        found["effort"] = effort
    return found


def _json_schema(wanted: dict[str, Any]) -> dict[str, Any]:
    given = wanted.get("json_schema")
    if not isinstance(given, dict) or not isinstance(given.get("schema"), dict):
        raise cannot(_SERVER, "needs a schema for answers by 'json_schema'", "response_format")
    found = {"schema": orjson.dumps(given["schema"]).decode(), "name": str(given.get("name") or "answer")}
    if given.get("description"):
        found["description"] = str(given["description"])
    return found


def _speaks_openai(model: str) -> bool:
    """Whether it is one of OpenAI's own models at Bedrock, which read their effort by another name."""
    return "openai." in model
