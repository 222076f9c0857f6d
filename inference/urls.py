"""URLs of inference, under /v1; chat completions and embeddings are served beside Django (`inference.gateway`)."""

from django.urls import path

from . import api

urlpatterns = [
    path("models", api.ModelListView.as_view()),
    path("models/<path:model_id>", api.ModelView.as_view()),
]
