"""Providers' bills beside the ledger, for platform staff: imported, compared, approved."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget

from tenants.audit import Actor
from tenants.desk.base import AtriumAdmin
from tenants.desk.visitor import visitor_of

from ..models import BillCorrection, ProviderBill, SkuMapping
from ..prices.quotes import short
from ..reconciliation import bills, correcting, mappings
from ..reconciliation.comparing import REASONS
from ..reconciliation.shapes import comparison_json
from .columns import amount_column

_MOST_SHOWN = 500


class ImportForm(forms.ModelForm):
    """A bill that is imported."""

    file = forms.FileField(widget=UnfoldAdminFileFieldWidget, help_text="FOCUS: CSV, gzipped or not, or Parquet.")

    class Meta:
        model = ProviderBill
        fields = ("provider",)


def _actor(request: HttpRequest) -> Actor:
    visitor = visitor_of(request)
    if visitor is None:
        raise PermissionDenied
    return visitor.actor


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> SafeString:
    row = "<tr>" + '<td style="padding: 0 1rem 0 0">{}</td>' * len(heads) + "</tr>"
    more = "" if len(rows) <= _MOST_SHOWN else f"{len(rows) - _MOST_SHOWN} more: ask the API for all of them."
    return format_html(
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}",
        format_html_join("", '<th style="text-align: left">{}</th>', ((head,) for head in heads)),
        format_html_join("", row, rows[:_MOST_SHOWN]),
        more,
    )


@admin.register(ProviderBill)
class ProviderBillAdmin(AtriumAdmin):
    """Bills: what differs from the ledger and why, and the approval that posts what the bill proves."""

    icon, label = "account_balance_wallet", "Provider bills"
    offers = frozenset({"add", "delete"})
    list_display = ("provider", "name", "first_day", "last_day", "currency", "state", "created_at")
    list_filter = ("provider", "state")
    ordering = ("-created_at",)
    actions = ("approve",)
    fields = (
        "provider", "name", "currency", "first_day", "last_day", "rows", "shown_other", "state", "imported_by",
        "approved_by", "approved_at", "differences", "unmapped", "corrections",
    )  # fmt: skip
    readonly_fields = fields

    shown_other = amount_column("other_cost", "Tax, purchases, credits")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A file, when adding."""
        return super().get_form(request, obj, change, **({"form": ImportForm} if obj is None else {}) | kwargs)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """A file, when adding."""
        return ("provider", "file") if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """All, once it is there."""
        return () if obj is None else self.fields

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not what was approved."""
        free = obj is None or getattr(obj, "state", None) == ProviderBill.State.IMPORTED
        return free and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """`bills.import_bill`."""
        sent = form.cleaned_data["file"]
        bill, _ = bills.import_bill(
            provider=form.cleaned_data["provider"], name=sent.name, content=sent.file, by=_actor(request)
        )
        vars(obj).update(vars(bill))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """`bills.delete_bill`."""
        bills.delete_bill(bill_id=obj.id)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ProviderBill]) -> None:
        """`bills.delete_bill` each."""
        for bill in queryset:
            bills.delete_bill(bill_id=bill.id)

    def has_approve_permission(self, request: HttpRequest) -> bool:
        """For the action."""
        return self.may(request, "change")

    @admin.action(description="Approve: post what the comparison plans", permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[ProviderBill]) -> None:
        """`correcting.approve` each."""
        for bill in list(queryset):
            correcting.approve(bill_id=bill.id, by=_actor(request), now=datetime.now(UTC))
        self.message_user(request, "Approved. Its corrections are posted in the background.")

    @display(description="Differences from the ledger as it is now")
    def differences(self, bill: ProviderBill) -> SafeString:
        found = self._compared(bill)
        rows = [
            (
                place["day"], place["model"], place["meter"], place["billed_units"], place["metered_units"],
                place["billed_cost"], place["expected_cost"], "; ".join(REASONS[name] for name in place["reasons"]),
            )
            for place in found["differences"]
        ]  # fmt: skip
        heads = ("Day", "Model", "Meter", "Billed", "Metered", "Billed cost", "Expected cost", "Why")
        planned = found["plan"]
        return format_html(
            "<p>{} {} billed, {} expected; {} of it on SKUs without a mapping. Approving posts {} corrections: {} to "
            "tenants, {} to the platform's cost.</p>{}",
            found["billed_cost"], bill.currency, found["expected_cost"], found["unmapped_cost"], planned["corrections"],
            planned["cost"], planned["provider_cost"], _table(heads, rows),
        )  # fmt: skip

    @display(description="SKUs without a mapping")
    def unmapped(self, bill: ProviderBill) -> SafeString:
        rows = [tuple(sku.values()) for sku in self._compared(bill)["unmapped"]]
        return _table(("Service", "SKU", "Unit", "Quantity", "Cost"), rows)

    @display(description="Corrections")
    def corrections(self, bill: ProviderBill) -> SafeString:
        rows = [
            (
                row.tenant_id, row.model, row.day, row.quantity, short(row.cost), short(row.provider_cost),
                row.refusal or ("posted" if row.posted_id else "waits"),
            )
            for row in BillCorrection.objects.filter(bill_id=bill.id).order_by("id")[: _MOST_SHOWN + 1]
        ]  # fmt: skip
        return _table(("Tenant", "Model", "Day", "Quantity", "Cost", "Provider cost", "State"), rows)

    def _compared(self, bill: ProviderBill) -> dict[str, Any]:
        """Once for a page: the row lives as long as its answer."""
        if not hasattr(bill, "compared"):
            bill.compared = comparison_json(bill)  # type: ignore[attr-defined]
        found: dict[str, Any] = bill.compared  # type: ignore[attr-defined]
        return found


@admin.register(SkuMapping)
class SkuMappingAdmin(AtriumAdmin):
    """Which model and meter a provider's SKUs are."""

    icon, label = "link", "SKU mappings"
    offers = frozenset({"add", "delete"})
    list_display = ("provider", "pattern", "model", "meter", "units")
    list_filter = ("provider", "meter")
    search_fields = ("pattern", "model")
    ordering = ("provider", "pattern")
    fields = ("provider", "pattern", "model", "meter", "units")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """`mappings.add_mapping`."""
        vars(obj).update(vars(mappings.add_mapping(**{name: form.cleaned_data[name] for name in self.fields})))
