"""All URLs. The hot path (chat completions, embeddings) is served beside Django, see `config.asgi`."""

from django.contrib import admin
from django.urls import include, path

handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("v1/", include("billing.urls")),
]
