"""What a grant and a model make of a chat request: values for what it leaves open, and a clear no for what may not be.

Everything here is decided at the door, before anything is held or asked.
"""

from typing import Any

from tenants.errors import AtriumError, InvalidRequest

from .models import Capability
from .requests import ChatRequest
from .terms import ChainModel, Rules, Terms

_IMAGES = frozenset({"image_url", "input_image"})
#: What servers take where a request says nothing.
_USUAL_TEMPERATURE = 1.0
_CANNOT = {
    Capability.VISION: ("cannot see images", "messages"),
    Capability.TOOLS: ("cannot call tools", "tools"),
    Capability.JSON_SCHEMA: ("cannot be held to a JSON schema", "response_format"),
    Capability.LOGPROBS: ("gives no log probabilities", "logprobs"),
    Capability.CHOICES: ("answers once: 'n' must be 1", "n"),
}


class UnsupportedParameter(InvalidRequest):
    """The model cannot do what the request asks."""

    code = "unsupported_parameter"


class TemperatureNotAllowed(InvalidRequest):
    """Outside the range of the grant."""

    code = "temperature_not_allowed"


class ToolNotAllowed(AtriumError):
    """The grant does not allow a tool that the request offers."""

    status = 400
    type = "invalid_request_error"
    code = "tool_not_allowed"


def as_granted(request: ChatRequest, terms: Terms) -> tuple[ChatRequest, Terms]:
    """The request with the grant's defaults, and the terms without those fallbacks that could not answer it.

    Raises:
        UnsupportedParameter: the model asked for lacks a capability.
        TemperatureNotAllowed, ToolNotAllowed: the grant forbids it.
    """
    _check_tools(request, terms)
    needs = needed(request)
    if terms.chain:
        _check_capabilities(needs, terms)
    left_open = _defaults(request, terms)
    if left_open:
        request = request.model_copy(update=left_open)
    most = request.output_limit or 0
    first, *others = terms.chain or (None,)
    able = [row for row in others if row and needs <= row.capabilities and most <= row.max_output_tokens]
    return request, terms.only([first, *able]) if first is not None else terms


def that_fit(terms: Terms, *, prompt_tokens: int, output_tokens: int) -> Terms:
    """The terms without those fallbacks whose context window is too small."""
    need = prompt_tokens + output_tokens
    return terms.only([row for row in terms.chain if row is terms.chain[0] or need <= row.context_window])


def needed(request: ChatRequest) -> frozenset[str]:
    """The capabilities without which the request cannot be answered."""
    needs = set()
    if any(part.get("type") in _IMAGES for message in request.messages for part in _parts(message.content)):
        needs.add(Capability.VISION)
    if any(tool.get("type") != "file_search" for tool in request.tools or ()):
        needs.add(Capability.TOOLS)
    if (request.response_format or {}).get("type") == "json_schema":
        needs.add(Capability.JSON_SCHEMA)
    if request.logprobs or request.top_logprobs:
        needs.add(Capability.LOGPROBS)
    if (request.n or 1) > 1:
        needs.add(Capability.CHOICES)
    return frozenset(str(need) for need in needs)


def _parts(content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else []


def _check_capabilities(needs: frozenset[str], terms: Terms) -> None:
    first: ChainModel = terms.chain[0]
    for lacking in sorted(needs - first.capabilities):
        what, param = _CANNOT[Capability(lacking)]
        raise UnsupportedParameter(f"'{terms.alias}' {what}.", param=param)


def _check_tools(request: ChatRequest, terms: Terms) -> None:
    allowed = terms.rules.allowed_tools
    if allowed is None or not request.tools:
        return
    for tool in request.tools:
        name = _name_of(tool)
        if name not in allowed:
            names = ", ".join(sorted(allowed)) or "none"
            raise ToolNotAllowed(f"'{terms.alias}' may not use the tool '{name}'. Allowed: {names}.", param="tools")


def _name_of(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name", "")) if isinstance(function, dict) else str(tool.get("type", ""))


def _defaults(request: ChatRequest, terms: Terms) -> dict[str, float]:
    rules, values = terms.rules, {}
    temperature = _temperature(request.temperature, rules, terms.alias)
    if temperature != request.temperature and temperature is not None:
        values["temperature"] = temperature
    if request.top_p is None and rules.default_top_p is not None:
        values["top_p"] = rules.default_top_p
    return values


def _temperature(asked: float | None, rules: Rules, alias: str) -> float | None:
    """What to send: what was asked, the default, or the end of the range nearest to what servers take otherwise."""
    low = 0.0 if rules.min_temperature is None else rules.min_temperature
    high = 2.0 if rules.max_temperature is None else rules.max_temperature
    if asked is not None:
        if not low <= asked <= high:
            raise TemperatureNotAllowed(
                f"'temperature' must be from {low:g} to {high:g} for '{alias}'; it is {asked:g}.", param="temperature"
            )
        return asked
    if rules.default_temperature is not None:
        return min(max(rules.default_temperature, low), high)
    return None if low <= _USUAL_TEMPERATURE <= high else min(max(_USUAL_TEMPERATURE, low), high)
