"""What a browser may do with our answers: a strict Content-Security-Policy, loosened page by page where it must be.

Nothing loads from another host anywhere, and no text becomes a script: neither inline nor by `eval`. unfold's Alpine
would need the latter, so `config/vendor` puts Alpine's own CSP build in its place (`@alpinejs/csp` 3.17.4 from npm, its
`dist/cdn.min.js` as it is), and `desk/alpine_csp.js` gives it what unfold's expressions expect.

What the admin and the API's page need beyond `'self'`: inline styles (unfold's theme colours, Swagger UI), and images in
`data:` URLs.
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
PAGES = _policy(_PAGE)


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
    return PAGES if path.startswith("/admin/") or path == "/v1/docs" else DATA
