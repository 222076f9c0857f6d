"""`/v1/openapi.json`, and `/v1/docs` to browse it; both say the same to everybody."""

from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularSwaggerSplitView


@lru_cache(maxsize=1)
def document() -> bytes:
    """The OpenAPI document. Made once a process: it takes long, and changes with the code only."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return OpenApiJsonRenderer().render(schema)


def openapi(request: HttpRequest) -> HttpResponse:
    """The document, as JSON."""
    return HttpResponse(document(), content_type="application/json")


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from the package's own files; its start-up script is a request of its own, as our policy asks."""

    url = "/v1/openapi.json"
    title = "Atrium's API"
