"""What a browser may do with our answers: a strict Content-Security-Policy, loosened page by page where it must be.

Nothing loads from another host anywhere. What the two kinds of pages need beyond `'self'`, and why:

- the admin: `'unsafe-eval'` for scripts, because unfold's Alpine evaluates its attributes with `new Function` (there are
  no inline scripts, so `'unsafe-inline'` stays out, and with it what a stored `<script>` would need to run);
- the admin and the API's page: inline styles (unfold's theme colours, Swagger UI), and images in `data:` URLs.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

_View = Callable[[HttpRequest], HttpResponse]
_PAGE = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def _policy(directives: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in directives.items())


DATA = _policy({"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"})
DOCS = _policy(_PAGE)
ADMIN = _policy(_PAGE | {"script-src": "'self' 'unsafe-eval'"})


def ContentSecurityMiddleware(get_response: _View) -> _View:  # noqa: N802
    """Sets the policy, and keeps answers of the API out of every cache: some hold a secret that exists once."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", _policy_of(request.path))
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
        if request.path.startswith("/v1/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def _policy_of(path: str) -> str:
    if path.startswith("/admin/"):
        return ADMIN
    return DOCS if path == "/v1/docs" else DATA
