"""One shape for every error (wire.md, Errors): OpenAI's error object, on our own endpoints as a problem document."""

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from redis.exceptions import RedisError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tenants.errors import AtriumError, InvalidRequest, NotFound, ServiceUnavailable

logger = logging.getLogger(__name__)


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
    return Response(error.body(), status=error.status, headers=error.headers)


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
        case OperationalError() | RedisError():
            logger.exception("a service is away")
            return ServiceUnavailable("A part of the service is away for the moment. Try again shortly.")
        case exceptions.APIException():
            return InvalidRequest(str(exc.detail))
    return None


def _from_validation(exc: exceptions.ValidationError) -> InvalidRequest:
    """The first fault of a serializer's findings, with the path to the field."""
    path, detail = [], exc.detail
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


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Django's handler404: unknown URLs under /v1 answer in the API's shape too."""
    error = NotFound(f"Unknown request URL: {request.method} {request.path}.")
    error.code = "unknown_url"
    return JsonResponse(error.body(), status=status.HTTP_404_NOT_FOUND)


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's handler500."""
    error = AtriumError("The server had an error while processing your request. Quote the x-request-id when reporting.")
    return JsonResponse(error.body(), status=500)
