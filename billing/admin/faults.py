"""Where the ledger does not add up, for platform staff."""

from django.contrib import admin
from unfold.decorators import display

from tenants.desk.base import AtriumAdmin

from ..models import LedgerFault


@admin.register(LedgerFault)
class LedgerFaultAdmin(AtriumAdmin):
    """What checks found, newest first; written by them alone."""

    icon, label = "rule", "Faults of the ledger"
    list_display = ("found_at", "kind", "subject", "shown_pseudonym", "expected", "found", "resolved_at")
    list_filter = ("kind", ("resolved_at", admin.EmptyFieldListFilter))
    search_fields = ("subject", "=pseudonym")
    search_help_text = "What is wrong, or a tenant's id."
    ordering = ("-found_at", "-id")
    fields = readonly_fields = (
        "kind", "subject", "shown_pseudonym", "day", "expected", "found", "found_at", "seen_at", "resolved_at",
    )  # fmt: skip

    @display(description="Tenant's id")
    def shown_pseudonym(self, row: LedgerFault) -> str:
        return str(row.pseudonym)
