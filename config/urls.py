"""All URLs. The hot path (chat completions, embeddings) is served beside Django, see `config.asgi`."""

from django.contrib import admin
from django.urls import include, path

from . import api_docs, health, metrics

handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("v1/openapi.json", api_docs.openapi),
    path("v1/docs", api_docs.DocsView.as_view()),
    path("admin/", include("tenants.accounts.urls")),  # before Django's own log-in
    path("admin/", admin.site.urls),
    path("v1/", include("tenants.urls")),
    path("v1/", include("billing.urls")),
    path("v1/", include("knowledge.urls")),
    path("v1/", include("inference.urls")),
]
