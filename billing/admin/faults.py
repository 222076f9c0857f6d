"""Where the ledger does not add up, for platform staff."""

from datetime import UTC
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.base import AtriumAdmin

from ..amounts import plain
from ..integrity import KINDS
from ..models import LedgerFault
from .tenant_names import tenant_column, with_tenant_names

#: What each kind of fault means, for somebody who did not write the checks.
MEANINGS = {
    "sums": "Hours, days and the lines below them add up differently.",
    "cost": "A line costs something else than its quantity at its price.",
    "month": "A line stands in another month than its time.",
    "calls": "A call has no leading line, or several.",
    "budget": "A budget's account and the ledger differ in what is spent.",
    "holds": "A budget's account and the open calls differ in what is held.",
}


class KindFilter(admin.SimpleListFilter):
    """What is wrong."""

    title, parameter_name = "what is wrong", "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The checks."""
        return [(kind, MEANINGS[kind]) for kind in KINDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LedgerFault]) -> QuerySet[LedgerFault]:
        """Of one check."""
        return queryset.filter(kind=self.value()) if self.value() in KINDS else queryset


class StateFilter(admin.SimpleListFilter):
    """Open or mended."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both."""
        return [("open", "Open"), ("mended", "Mended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LedgerFault]) -> QuerySet[LedgerFault]:
        """Of one state."""
        if self.value() not in ("open", "mended"):
            return queryset
        return queryset.filter(resolved_at__isnull=self.value() == "open")


@admin.register(LedgerFault)
class LedgerFaultAdmin(AtriumAdmin):
    """What checks found, newest first; written by them alone."""

    icon, label = "rule", "Faults of the ledger"
    empty_text = "No fault: every amount adds up."
    list_display = (
        "shown_meaning",
        "state",
        "shown_tenant",
        "subject",
        "shown_expected",
        "shown_found",
        "off_by",
        "found_at",
    )
    list_filter = (StateFilter, KindFilter)
    search_fields = ("subject", "=pseudonym")
    search_help_text = "What is wrong, or a tenant's id."
    ordering = ("-found_at", "-id")
    fields = readonly_fields = (
        "shown_meaning", "state", "shown_tenant", "subject", "day", "shown_expected", "shown_found", "off_by", "found_at",
        "seen_at", "resolved_at", "what_to_do",
    )  # fmt: skip
    list_before_template = "desk/faults_head.html"

    shown_tenant = tenant_column

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerFault]:
        """With the tenants' names."""
        return with_tenant_names(super().get_queryset(request))

    @display(description="What is wrong", ordering="kind")
    def shown_meaning(self, row: LedgerFault) -> str:
        return MEANINGS.get(row.kind, row.kind)

    @display(description="State", label={"open": "danger", "mended": "success"})
    def state(self, row: LedgerFault) -> str:
        return "open" if row.resolved_at is None else "mended"

    @display(description="Expected", ordering="expected")
    def shown_expected(self, row: LedgerFault) -> str:
        return plain(row.expected)

    @display(description="Found", ordering="found")
    def shown_found(self, row: LedgerFault) -> str:
        return plain(row.found)

    @display(description="Off by")
    def off_by(self, row: LedgerFault) -> str:
        return plain(row.found - row.expected)

    @display(description="What to do")
    def what_to_do(self, row: LedgerFault) -> str:
        if row.resolved_at is not None:
            return (
                f"Nothing: a check of {row.resolved_at.astimezone(UTC):%d %B %Y, %H:%M} UTC did not find it any more."
            )
        return (
            "Lines are never changed: find out what wrote them, then post a correction. "
            "The hourly check closes the fault by itself once the books agree."
        )
