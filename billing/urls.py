"""URLs of billing, under /v1."""

from django.urls import path

from . import api, budgets_api
from .prices import api as prices_api

urlpatterns = [
    path("budgets", budgets_api.BudgetsView.as_view()),
    path("organization/usage/completions", api.CompletionsUsageView.as_view()),
    path("organization/usage/embeddings", api.EmbeddingsUsageView.as_view()),
    path("organization/costs", api.CostsView.as_view()),
    path("platform/prices", prices_api.PricesView.as_view()),
    path("platform/provider_prices", prices_api.ProviderPricesView.as_view()),
    path("platform/allowances", prices_api.AllowancesView.as_view()),
]
