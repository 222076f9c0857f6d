"""Every way in which a call can fail: one stable code each, and what it means for the client, for routing and for us.

A code never changes its meaning. `kind_of` finds the entry of an exception; a code that is not here is an upstream's
own, passed on with a 400, or a defect of ours. `inference/ERRORS.md` is this table.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from tenants.errors import AtriumError

from .providers.base import ProviderError


class Category(StrEnum):
    """Whose matter it is."""

    CLIENT = "client"
    CREDENTIALS = "credentials"
    CAPACITY = "capacity"
    UPSTREAM = "upstream"
    NETWORK = "network"
    TIMEOUT = "timeout"
    CONTENT = "content"
    PLATFORM = "platform"


class Severity(StrEnum):
    """Who should look: nobody, somebody when it is often, the operator, the operator at once."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True)
class ErrorKind:
    """`retryable`: the same request may be answered if it is sent again. `again`: by the same deployment, in a moment.
    `elsewhere`: by another one, at once. `faulty`: it speaks against the deployment, so its breaker counts it."""

    code: str
    category: Category
    severity: Severity
    status: int
    meaning: str
    retryable: bool = False
    again: bool = False
    elsewhere: bool = False
    faulty: bool = False


def _client(code: str, meaning: str, status: int = 400, *, retryable: bool = False) -> ErrorKind:
    return ErrorKind(code, Category.CLIENT, Severity.INFO, status, meaning, retryable=retryable)


def _failing(code: str, category: Category, status: int, meaning: str) -> ErrorKind:
    """A deployment that failed and may not the next time."""
    return ErrorKind(code, category, Severity.WARNING, status, meaning, True, True, True, True)


def _broken(code: str, category: Category, meaning: str) -> ErrorKind:
    """A deployment that will fail until somebody changes something."""
    return ErrorKind(code, category, Severity.CRITICAL, 502, meaning, elsewhere=True, faulty=True)


def _busy(code: str, status: int, meaning: str, *, retryable: bool = True) -> ErrorKind:
    return ErrorKind(code, Category.CAPACITY, Severity.WARNING, status, meaning, retryable=retryable)


_ALL = [
    _client("invalid_value", "A member of the request is missing, malformed or out of range; `param` names it."),
    _client("invalid_api_key", "The key is missing, wrong, expired or revoked.", 401),
    _client("invalid_end_user_token", "The end user's token is wrong.", 401),
    _client("end_user_token_expired", "The end user's token has expired.", 401),
    _client("insufficient_scope", "The key may not do this.", 403),
    _client("tenant_suspended", "The tenant is out of service.", 403),
    _client("not_found", "No such object, for this key.", 404),
    _client("model_not_found", "No such model, or it is not granted; the message names those that are.", 404),
    _client("unpriced_model", "The model has no price in the tenant's currency; the operator sets one."),
    _client("context_length_exceeded", "Messages and answer do not fit the model's context window."),
    _client("unsupported_parameter", "The model cannot do what the request asks: see images, call tools, log its odds …"),
    _client("temperature_not_allowed", "The temperature lies outside the range of the grant; the message names it."),
    _client("tool_not_allowed", "The grant does not allow a tool that the request offers."),
    _client("upstream_refused", "The model's server refused the request; the message is the server's."),
    _client("unsupported_tool", "A tool that Atrium does not run; functions and file_search are taken."),
    _client("unsupported_item", "An item of the input that cannot be given to a model."),
    _client("previous_response_erased", "What came before was deleted, or its retention ended."),
    _client("previous_response_not_ended", "What came before is still being made.", 409, retryable=True),
    _client("conversation_locked", "A response is being made in the conversation.", 409, retryable=True),
    _client("response_in_progress", "The response is still being made.", 409, retryable=True),
    _client("prompt_not_found", "No such prompt, version or label.", 404),
    _client("invalid_prompt_variable", "A variable of the prompt is missing, unknown, or breaks its rules."),
    _client("prompt_too_large", "The prompt with these variables has more than 20 MiB."),
    _client("idempotency_key_reused", "The Idempotency-Key came with another body before.", 422),
    _client("idempotency_in_flight", "The first request with this Idempotency-Key has not ended.", 409, retryable=True),
    _client("idempotency_answer_gone", "The first answer to this Idempotency-Key was not kept.", 409),
    _busy("rate_limit_exceeded", 429, "Requests, tokens or concurrent calls of user, key or tenant are at their limit."),
    _busy("insufficient_quota", 429, "A budget or a quota is used up; the message says until when.", retryable=False),
    _busy("budget_held", 429, "A budget is held by calls under way; some of it is free again when they end."),
    ErrorKind(
        "upstream_rate_limited", Category.CAPACITY, Severity.WARNING, 503,
        "The model's server is overloaded; it is left alone for as long as it asked.", True, True, True,
    ),
    _busy("model_out_of_service", 503, "The operator took the model out of service; use another.", retryable=False),
    _busy("no_deployment", 503, "Nothing serves the model for the moment; `retry-after` says when to come back."),
    _busy("hold_gone", 503, "The call waited so long that its hold on the budget ended."),
    _failing("upstream_error", Category.UPSTREAM, 502, "The model's server failed."),
    _failing("upstream_garbage", Category.UPSTREAM, 502, "The model's server sent something that is no answer."),
    _failing("upstream_unreachable", Category.NETWORK, 503, "The model's server cannot be reached."),
    _failing("upstream_broke_off", Category.NETWORK, 502, "The connection to the model's server broke."),
    _failing("upstream_timeout", Category.TIMEOUT, 504, "The model's server was silent for too long."),
    ErrorKind(
        "invalid_structured_output", Category.CONTENT, Severity.WARNING, 502,
        "The model's answer does not match the schema of the request, nor did its repair.", retryable=True,
    ),
    _broken("upstream_credentials", Category.CREDENTIALS, "The model's server refused the credentials stored for it."),
    _broken("upstream_model_missing", Category.UPSTREAM, "The model's server does not know the model."),
    _broken("upstream_not_public", Category.NETWORK, "A tenant's deployment leads to an address that is not public."),
    ErrorKind(
        "deadline_exceeded", Category.TIMEOUT, Severity.WARNING, 504,
        "The call took longer than the platform, or the request's `timeout`, allows.", retryable=True,
    ),
    ErrorKind(
        "content_filter", Category.CONTENT, Severity.INFO, 400,
        "A safety policy, the platform's or the upstream's, stopped the request or its answer.",
    ),
    ErrorKind(
        "moderation_unavailable", Category.UPSTREAM, Severity.ERROR, 503,
        "The safety policy wants the call judged by a moderation model, which does not answer.", retryable=True,
    ),
    ErrorKind(
        "worker_lost", Category.PLATFORM, Severity.ERROR, 502,
        "The worker that ran the call died; what it may have cost is held until it is reconciled.", retryable=True,
    ),
    ErrorKind(
        "answer_lost", Category.PLATFORM, Severity.ERROR, 502,
        "Part of the answer was lost on its way to the client; it was made, and is metered.", retryable=True,
    ),
    ErrorKind(
        "service_unavailable", Category.PLATFORM, Severity.ERROR, 503,
        "A part of the service is away for the moment.", retryable=True,
    ),
    ErrorKind(
        "internal_error", Category.PLATFORM, Severity.CRITICAL, 500, "A defect of ours. Quote the request's id.",
        retryable=True,
    ),
    ErrorKind("cancelled", Category.CLIENT, Severity.INFO, 499, "The client left or cancelled; recorded, never answered."),
]  # fmt: skip
KINDS = {kind.code: kind for kind in _ALL}


def kind_of(error: BaseException) -> ErrorKind:
    """What `error` is. An upstream's own code for a bad request is the client's; whatever is unknown is ours."""
    if not isinstance(error, ProviderError | AtriumError):
        return KINDS["internal_error"]
    code = error.code or ""
    known = KINDS.get(code)
    if known is not None:
        return known
    if 400 <= error.status < 500:
        return replace(KINDS["upstream_refused"], code=code, status=error.status)
    if isinstance(error, ProviderError):
        return replace(KINDS["upstream_error" if error.temporary else "upstream_model_missing"], code=code)
    return replace(KINDS["service_unavailable"], code=code, status=error.status)


def as_markdown() -> str:
    """The table as `inference/ERRORS.md` shows it."""
    head = (
        "# Errors of a call\n\n"
        'Every error has the shape `{"error": {"message", "type", "param", "code", "request_id"}}`. Decide by `code`:\n'
        "it does not change its meaning. `request_id` (also the header `x-request-id`) is what to quote: it is the id\n"
        "of the call, by which the operator finds its attempts.\n\n"
        "A `code` that is not listed, with a 400, is the model server's own. *Again* says whether the same request may\n"
        "be answered if it is sent again; Atrium has then tried the other deployments and fallbacks already.\n\n"
        "| code | status | category | severity | again | meaning |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| `{kind.code}` | {kind.status} | {kind.category} | {kind.severity} | {'yes' if kind.retryable else 'no'} | "
        f"{kind.meaning} |\n"
        for kind in _ALL
    )
