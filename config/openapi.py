"""The one OpenAPI 3.1 document: what drf-spectacular finds in the views, and what stands beside Django.

Hooks of drf-spectacular, in the order of `SPECTACULAR_SETTINGS`: the hot path is added from the pydantic models that
validate its requests, every operation gets the error shape it answers with, creates get their `Idempotency-Key`.
"""

from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from pydantic.json_schema import models_json_schema

from inference.requests import ChatRequest, EmbeddingsRequest, FileSearch
from inference.response_cache import CACHE_HEADER
from inference.responses.requests import ResponseRequest
from tenants.end_users import END_USER_HEADER, MAX_TOKEN_LENGTH

from . import hot_path_schemas as answers
from .errors import speaks_openai

Operation = dict[str, Any]
Document = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key and body answer the first answer again, with `idempotent-replayed: true`. The same key "
    "with another body is refused (422), and so is one whose first request is still under way (409).",
}
#: What a reader finds depends on its groups there.
_BY_GROUPS = frozenset(
    {
        "create_chat_completion",
        "create_response",
        "search_vector_store",
        "list_vector_store_files",
        "get_vector_store_file",
    }
    | {"get_vector_store_file_content"}
)
_END_USER = {
    "name": END_USER_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_TOKEN_LENGTH},
    "description": "A JWT that the tenant's backend signed (HS256) with a signing secret, for the reader it asks for: `kid` in "
    "its header, claims `iss` (the tenant's id), `aud` (`atrium`), `sub`, `groups`, `iat`, and `exp` at most 24 hours later. "
    "What is found is open to everybody or to one of its groups; a key's own groups are the most a token can reach. A "
    "token that is wrong or expired is refused (401) on every endpoint.",
}
_STREAM = (
    "With `stream: true`, server-sent events: `data: {chunk}`, each a `ChatCompletionChunk`, and at last `data: [DONE]`. "
    "Lines that begin with a colon are comments. A failure after the first event is `data: {error}`, and ends the stream."
)

_RESPONSE_STREAM = (
    "With `stream: true`, server-sent events, each with its `event: {type}` and `data: {event}`, numbered from 0: "
    "`response.created`, `response.in_progress`, the items as they grow, and last `response.completed`, "
    "`response.incomplete` or `response.failed`. Lines that begin with a colon are comments."
)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the document names a tenant's keys."""

    target_class = "tenants.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "description": "An API key of a tenant: `sk-…`."}


class PlatformKeyScheme(OpenApiAuthenticationExtension):
    """How the document names the operator's keys."""

    target_class = "tenants.authentication.PlatformKeyAuthentication"
    name = "platformKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "description": "A key of the platform's operator: `pk-…`."}


class FinanceKeyScheme(OpenApiAuthenticationExtension):
    """How the document names the platform's keys where a tenant's open the same door."""

    target_class = "tenants.authentication.IfPlatformKey"
    name = "financeKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """A bearer token."""
        description = "A platform key with the scope `finance`, which reads all tenants: `pk-…`."
        return {"type": "http", "scheme": "bearer", "description": description}


def only_the_api(endpoints: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What is not under /v1 is no part of the API."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/v1/")]


def add_hot_path(result: Document, generator: Any, **kwargs: Any) -> Document:
    """Chat completions and embeddings, which are served beside Django."""
    _add_schemas(result)
    result["paths"].setdefault("/v1/chat/completions", {})["post"] = _chat()
    result["paths"].setdefault("/v1/embeddings", {})["post"] = _embeddings()
    result["paths"].setdefault("/v1/responses", {})["post"] = _responses()
    # A document that has no view with an API key yet still describes the hot path's.
    schemes = result["components"].setdefault("securitySchemes", {})
    schemes.setdefault(ApiKeyScheme.name, ApiKeyScheme(None).get_security_definition(None))
    return result


def add_errors(result: Document, generator: Any, **kwargs: Any) -> Document:
    """Every operation's 4xx and 5xx, unless its view says more."""
    components = result["components"].setdefault("responses", {})
    for name, media_type in (("Error", "application/json"), ("Problem", "application/problem+json")):
        content = {media_type: {"schema": {"$ref": _SCHEMAS + name}}}
        components[name] = {"description": "What was wrong, and what to do.", "content": content}
    for path, operation in _operations(result):
        name = "Error" if speaks_openai(path) else "Problem"
        for status in ("4XX", "5XX"):
            operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})
    return result


def add_idempotency_key(result: Document, generator: Any, **kwargs: Any) -> Document:
    """The header parameter of the creates that honour it."""
    result["components"].setdefault("parameters", {})["IdempotencyKey"] = _IDEMPOTENCY_KEY
    creates = {path for path, _, method, view in generator.endpoints if method == "POST" and _is_idempotent(view)}
    for path, operation in _operations(result, "post"):
        if path in creates or path in ("/v1/chat/completions", "/v1/embeddings", "/v1/responses"):
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    return result


def add_end_user(result: Document, generator: Any, **kwargs: Any) -> Document:
    """The header parameter of a signed end user."""
    result["components"].setdefault("parameters", {})["EndUser"] = _END_USER
    for _, operation in _operations(result):
        if operation["operationId"] in _BY_GROUPS:
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/EndUser"})
    return result


def _is_idempotent(callback: Any) -> bool:
    return getattr(callback.cls.post, "honours_idempotency_key", False)


def _operations(result: Document, *methods: str) -> Iterator[tuple[str, Operation]]:
    for path, item in result["paths"].items():
        for method, operation in item.items():
            if method in (methods or _METHODS):
                yield path, operation


def _add_schemas(result: Document) -> None:
    validated, answered = (ChatRequest, EmbeddingsRequest, FileSearch, ResponseRequest), (
        answers.Error, answers.Problem, answers.ChatCompletion, answers.ChatCompletionChunk, answers.EmbeddingList,
        answers.ResponseObject, answers.ItemList,
    )  # fmt: skip
    _, definitions = models_json_schema(
        [*((model, "validation") for model in validated), *((model, "serialization") for model in answered)],
        ref_template=_SCHEMAS + "{model}",
    )
    schemas = result["components"].setdefault("schemas", {})
    if taken := schemas.keys() & definitions["$defs"].keys():
        raise ValueError(f"two schemas of one name: {', '.join(sorted(taken))}")
    schemas |= definitions["$defs"]
    # `tools` takes any function for the upstream; `file_search` is the one that Atrium answers itself.
    tools = next(option for option in schemas["ChatRequest"]["properties"]["tools"]["anyOf"] if "items" in option)
    tools["items"] = {"anyOf": [{"$ref": _SCHEMAS + "FileSearch"}, tools["items"]]}


def _chat() -> Operation:
    return {
        "operationId": "create_chat_completion",
        "summary": "Create a chat completion",
        "description": "Answers the messages with a model that your tenant was granted; with the tool `file_search`, from "
        "your vector stores, with citations. Members that are not listed are ignored.\n\n"
        "With `response_format.json_schema.strict`, an answer that does not match the schema is asked for once more, and "
        "fails with `invalid_structured_output` (502) if that does not help, charged for what was used; a stream is looked "
        "at when all of it has gone, and ends with an error event. Without `strict` the schema is the model's to follow.\n\n"
        "Where the model's answers are kept (`/v1/response_cache`), the same request gets the same answer; "
        "`Cache-Control: no-store` or `cache: false` stay out, `Cache-Control: no-cache` has a new answer made and kept.",
        **_hot("ChatRequest"),
        "responses": {
            "200": {
                "description": "The answer, whole or streamed.",
                "headers": {
                    CACHE_HEADER: {
                        "description": "Whether it came from the response cache; absent where nobody looked there.",
                        "schema": {"type": "string", "enum": ["hit", "miss"]},
                    }
                },
                "content": {
                    "application/json": {"schema": {"$ref": _SCHEMAS + "ChatCompletion"}},
                    "text/event-stream": {"schema": {"type": "string", "description": _STREAM}},
                },
            }
        },
        "tags": ["chat"],
    }


def _responses() -> Operation:
    return {
        "operationId": "create_response",
        "summary": "Create a response",
        "description": "Answers the input with a model that your tenant was granted; with the tool `file_search`, from your "
        "vector stores, with citations. `previous_response_id` and `conversation` go on from earlier answers, shortened to "
        "the context window. Members that are not listed are ignored.",
        **_hot("ResponseRequest"),
        "responses": {
            "200": {
                "description": "The response, whole or streamed; `queued` where it is made in the background.",
                "content": {
                    "application/json": {"schema": {"$ref": _SCHEMAS + "ResponseObject"}},
                    "text/event-stream": {"schema": {"type": "string", "description": _RESPONSE_STREAM}},
                },
            }
        },
        "tags": ["responses"],
    }


def _embeddings() -> Operation:
    return {
        "operationId": "create_embeddings",
        "summary": "Create embeddings",
        "description": "Turns texts into vectors with a model that your tenant was granted.",
        **_hot("EmbeddingsRequest"),
        "responses": {
            "200": {
                "description": "The vectors.",
                "content": {"application/json": {"schema": {"$ref": _SCHEMAS + "EmbeddingList"}}},
            }
        },
        "tags": ["embeddings"],
    }


def _hot(request: str) -> Operation:
    content = {"application/json": {"schema": {"$ref": _SCHEMAS + request}}}
    return {"requestBody": {"required": True, "content": content}, "security": [{ApiKeyScheme.name: []}]}
