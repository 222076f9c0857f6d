"""Calls: what was asked, how it ended, what it cost."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from unfold.decorators import display

from billing.models import UsageRecord
from billing.reservations import plain
from tenants.desk.base import TenantAdmin

from ..models import Generation


@admin.register(Generation)
class GenerationAdmin(TenantAdmin):
    """Calls: which model, how it ended, when, for how much. Prompts and answers are not shown, nor even read."""

    icon, label, area = "bolt", "Requests", "requests"
    list_display = ("id", "kind", "model", "shown_state", "cost", "created_at", "finished_at")
    list_filter = ("state", "kind")
    search_fields = ("=id",)
    search_help_text = "The id of a call."
    ordering = ("-id",)
    fields = (
        "id", "kind", "alias", "model", "shown_state", "error_code", "cost", "key_id", "created_at", "finished_at",
    )  # fmt: skip
    readonly_fields = ("id", "shown_state", "error_code", "cost")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generation]:
        """Without content, with the cost."""
        # Lines that correct nothing are the ones that the ledger's unique index finds by request.
        lines = UsageRecord.objects.filter(
            tenant_id=OuterRef("tenant_id"), request_id=OuterRef("id"), corrects__isnull=True
        )
        cost = lines.order_by().values("request_id", "currency").annotate(sum=Sum("cost"))
        return (
            super()
            .get_queryset(request)
            .defer("request", "answer", "terms")
            .annotate(settled=Subquery(cost.values("sum")[:1]), currency=Subquery(cost.values("currency")[:1]))
        )

    @display(
        description="State",
        label={"completed": "success", "failed": "danger", "cancelled": "warning", "running": "info", "queued": ""},
    )
    def shown_state(self, row: Generation) -> str:
        return row.state

    @display(description="Cost when settled")
    def cost(self, row: Any) -> str:
        return "" if row.settled is None else f"{plain(row.settled)} {row.currency}"

    @display(description="Error")
    def error_code(self, row: Generation) -> str:
        return str((row.error or {}).get("code") or "")
