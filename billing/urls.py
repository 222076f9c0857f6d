"""URLs of billing, under /v1."""

from django.urls import path

from . import api, budgets_api

urlpatterns = [
    path("budgets", budgets_api.BudgetsView.as_view()),
    path("organization/usage/completions", api.CompletionsUsageView.as_view()),
    path("organization/usage/embeddings", api.EmbeddingsUsageView.as_view()),
    path("organization/costs", api.CostsView.as_view()),
]
