"""Every answer carries an `x-request-id`; every request is logged and counted once, with ids and timings, no content."""

import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from inference.metrics import Observed, observe
from tenants.api_keys import Caller
from tenants.carried import PATH_TO_LOG
from tenants.ids import uuid7

log = structlog.get_logger("atrium.request")
_QUIET = {"/healthz", "/readyz", "/metrics"}


def RequestLogMiddleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:  # noqa: N802
    """Outermost of our middlewares. A view whose path holds a secret says what to log instead (`PATH_TO_LOG`)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request_id = uuid7().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(request_id=request_id)
        seen = Observed(path="unmatched", method=request.method or "")
        try:
            response = get_response(request)
            elapsed = (time.perf_counter() - seen.started) * 1000
            response["x-request-id"] = request_id
            response["openai-processing-ms"] = str(round(elapsed))
            seen.path, seen.status = _route(request), response.status_code
            observe(seen)
            if request.path not in _QUIET:
                log.info(
                    "request",
                    method=request.method,
                    path=PATH_TO_LOG.by(request) or request.path,
                    status=response.status_code,
                    tenant_id=_tenant(request),
                    ms=round(elapsed, 1),
                )
            return response
        finally:
            structlog.contextvars.clear_contextvars()

    return middleware


def _route(request: HttpRequest) -> str:
    """The pattern that matched, so that ids do not become labels; one name for all that matched none."""
    match = request.resolver_match
    return f"/{match.route}" if match else "unmatched"


def _tenant(request: HttpRequest) -> str | None:
    """The caller's tenant, where an API key was given. Asks for the type: more would load a session's user."""
    user = getattr(request, "user", None)
    return str(user.tenant_id) if type(user) is Caller else None
