"""The errors that reach a client. Each carries a stable code, an HTTP status and data; `config.errors` shapes them.

Modules define their own beside the code that raises them; those here have raisers in every app.
"""

from typing import Any


class AtriumError(Exception):
    """Something went wrong that the client should read about.

    Args:
        message: says what was wrong and what to do.
        param: the request's parameter at fault, as the client spelled it.
        data: further members of the error object (limit, used, resets_at …).
        headers: response headers, such as `retry-after`.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.data = data or {}
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body in OpenAI's shape (wire.md, Errors)."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": {**error, **self.data}}


class InvalidRequest(AtriumError):
    """The request cannot be understood or is out of range."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class NotFound(AtriumError):
    """No such object for this caller: missing, or another tenant's; the answers are the same."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class PermissionDenied(AtriumError):
    """The caller is known but may not do this."""

    status = 403
    type = "permission_error"
    code = "insufficient_scope"


class ServiceUnavailable(AtriumError):
    """A part Atrium needs is away for the moment; trying again later helps."""

    status = 503
    type = "server_error"
    code = "service_unavailable"

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after)})
