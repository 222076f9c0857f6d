"""Every answer carries an `x-request-id`; every request is logged once, with ids and timings, without content."""

import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from tenants.ids import uuid7

log = structlog.get_logger("atrium.request")
_QUIET = {"/healthz", "/readyz", "/metrics"}


def RequestLogMiddleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:  # noqa: N802
    """Outermost of our middlewares."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request_id = uuid7().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        try:
            response = get_response(request)
            elapsed = (time.perf_counter() - started) * 1000
            response["x-request-id"] = request_id
            response["openai-processing-ms"] = str(round(elapsed))
            if request.path not in _QUIET:
                log.info(
                    "request",
                    method=request.method,
                    path=request.path,
                    status=response.status_code,
                    ms=round(elapsed, 1),
                )
            return response
        finally:
            structlog.contextvars.clear_contextvars()

    return middleware
