"""One shape for every error (wire.md, Errors): OpenAI's error object, on our own endpoints as a problem document.

Whoever looks at the admin in a browser gets a page instead.
"""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tenants.errors import AtriumError, InvalidRequest, NotFound, ServiceUnavailable

logger = logging.getLogger(__name__)

#: The first part of the paths that OpenAI's clients know; what is not listed is our own.
_OPENAI = frozenset(
    {"models", "chat", "completions", "responses", "conversations", "embeddings", "moderations", "files", "uploads"}
    | {"vector_stores", "fine_tuning", "batches", "evals", "organization", "webhook_endpoints", "webhook_event_types"}
)


class MethodNotAllowed(AtriumError):
    """The path exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class UnsupportedMedia(AtriumError):
    """The body's content type is not one the endpoint reads."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler."""
    error = translate(exc)
    if error is None:
        return None
    set_rollback()
    path = context["request"].path
    content_type = None if speaks_openai(path) else "application/problem+json"
    return Response(body_for(path, error), status=error.status, headers=error.headers, content_type=content_type)


def speaks_openai(path: str) -> bool:
    """Whether `path` is one that OpenAI's clients know, so that its errors are of OpenAI's shape and nothing else."""
    return path.removeprefix("/v1/").partition("/")[0] in _OPENAI


def body_for(path: str, error: AtriumError) -> dict[str, Any]:
    """The body of an error; on our own endpoints a problem document (RFC 9457) around the same `error` object."""
    if speaks_openai(path):
        return error.body()
    title = HTTPStatus(error.status).phrase
    problem = {"type": "about:blank", "title": title, "status": error.status, "detail": error.message}
    return {**problem, **error.body()}


def translate(exc: Exception) -> AtriumError | None:
    """The error a client should see for `exc`; None where it is a defect of ours (500, logged by Django)."""
    match exc:
        case AtriumError():
            return exc
        case exceptions.ValidationError():
            return _from_validation(exc)
        case exceptions.ParseError():
            return InvalidRequest(f"We could not parse the JSON body of your request: {exc.detail}")
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed(str(exc.detail))
        case exceptions.UnsupportedMediaType():
            return UnsupportedMedia(str(exc.detail))
        case Http404() | exceptions.NotFound():
            return NotFound("No such object.")
        case RequestDataTooBig():
            return InvalidRequest("The request body is too large.")
        case SuspiciousOperation():
            # Of a form: too many fields or files, names that are none.
            return InvalidRequest(f"We could not parse the body of your request: {exc}")
        case OperationalError() | RedisError():
            logger.exception("a service is away")
            return ServiceUnavailable("A part of the service is away for the moment. Try again shortly.")
        case exceptions.APIException():
            return InvalidRequest(str(exc.detail))
    return None


def _from_validation(exc: exceptions.ValidationError) -> InvalidRequest:
    """The first fault of a serializer's findings, with the path to the field."""
    path: list[str] = []
    detail: Any = exc.detail
    while not isinstance(detail, str):
        if isinstance(detail, dict):
            key, detail = next(iter(detail.items()))
            if key != "non_field_errors":
                path.append(str(key))
        else:
            index, detail = next((i, d) for i, d in enumerate(detail) if d)
            if not isinstance(detail, str):
                path.append(str(index))
    param = ".".join(path) or None
    return InvalidRequest(f"Invalid '{param}': {detail}" if param else str(detail), param=param)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: unknown URLs answer in the API's shape too."""
    if _looks_at_the_admin(request):
        return render(request, "404.html", status=404)
    error = NotFound(f"Unknown request URL: {request.method} {request.path}.")
    error.code = "unknown_url"
    return _json(request, error)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if _looks_at_the_admin(request):
        return render(request, "500.html", status=500)
    error = AtriumError("The server had an error while processing your request. Quote the x-request-id when reporting.")
    return _json(request, error)


def _looks_at_the_admin(request: HttpRequest) -> bool:
    return request.path.startswith("/admin/") and "text/html" in request.headers.get("accept", "")


def _json(request: HttpRequest, error: AtriumError) -> JsonResponse:
    kind = "application/json" if speaks_openai(request.path) else "application/problem+json"
    return JsonResponse(body_for(request.path, error), status=error.status, content_type=kind)
