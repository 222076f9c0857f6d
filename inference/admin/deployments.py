"""Where the platform's models answer, for staff."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.base import AtriumAdmin

from ..deployment_form import DeploymentForm
from ..models import Deployment
from .routing import breaker_of


@admin.register(Deployment)
class DeploymentAdmin(AtriumAdmin):
    """Where the platform's models answer."""

    icon = "dns"
    offers = frozenset({"add", "change"})
    form = DeploymentForm
    list_display = ("name", "model", "provider", "base_url", "weight", "enabled", "breaker")
    list_select_related = ("model",)
    list_filter = ("provider", "enabled")
    search_fields = ("name", "model__name", "base_url")
    ordering = ("name",)
    fields = (
        "model", "name", "provider", "base_url", "upstream_model", "region",
        "new_api_key", "new_access_key_id", "new_secret_access_key", "new_session_token", "forget_credentials",
        "weight", "max_concurrent", "health_check", "enabled",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        """Credentials stay encrypted in the database."""
        return super().get_queryset(request).defer(*Deployment.CREDENTIALS)

    @display(description="Breaker")
    def breaker(self, row: Deployment) -> str:
        return breaker_of(row.id)
