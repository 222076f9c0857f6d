"""Budgets, with what their current period has used of them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.admin_base import BILLING, TenantAdmin, TenantForm
from tenants.models import ApiKey, Tenant
from tenants.scope import current_tenant, tenant_scope

from ..models import Budget, BudgetAccount
from ..plans import set_budget
from .columns import amount_column, this_month


class BudgetForm(TenantForm):
    """A new budget, in the tenant's currency."""

    key_id: forms.ModelChoiceField = forms.ModelChoiceField(
        queryset=None, required=False, label="API key", help_text="Empty: all keys.", widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Staff see every tenant's keys and may pick a wrong one; what limits one key is the tenant's own to set.
        keys = ApiKey.objects.none() if self.visitor.staff else ApiKey.objects.filter(revoked_at=None).order_by("name")
        self.fields["key_id"].queryset = keys  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        """`set_budget` would change the budget of this name; here that would be by mistake."""
        name = self.cleaned_data["name"]
        if not self.visitor.staff and Budget.objects.filter(name=name).exists():
            raise ValidationError("There is a budget of this name. Change that one, or use another name.")
        return name

    def clean_key_id(self) -> Any:
        """The column holds the id."""
        key = self.cleaned_data["key_id"]
        return key.id if key else None


@admin.register(Budget)
class BudgetAdmin(TenantAdmin):
    """Hard limits per month, with what this month has used of them."""

    group, icon, area = BILLING, "savings", "budgets"
    offers = frozenset({"add", "change"})
    list_display = ("name", "scope", "shown_limit", "shown_spent", "shown_held", "shown_left")
    search_fields = ("name",)
    ordering = ("name",)
    add_form = BudgetForm
    add_fields = ("name", "limit", "key_id")
    fields = ("name", "scope", "limit", "currency", "shown_spent", "shown_held", "shown_left", "created_at")
    readonly_fields = ("name", "scope", "currency", "shown_spent", "shown_held", "shown_left", "created_at")

    shown_limit = amount_column("limit", "Limit a month")
    shown_spent = amount_column("spent", "Spent")
    shown_held = amount_column("held", "Held by calls under way")
    shown_left = amount_column("left", "Left")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        """With this month's figures."""
        accounts = BudgetAccount.objects.filter(
            tenant_id=OuterRef("tenant_id"), budget_id=OuterRef("id"), period_start=this_month()
        )
        return (
            super()
            .get_queryset(request)
            .annotate(
                spent=Coalesce(Subquery(accounts.values("spent")), Decimal(0)),
                held=Coalesce(Subquery(accounts.values("held")), Decimal(0)),
            )
            .annotate(left=F("limit") - F("spent") - F("held"))
        )

    @display(description="Limits")
    def scope(self, row: Budget) -> str:
        return f"API key {row.key_id}" if row.key_id else "all keys"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Budget:
        """`set_budget`, in the tenant's currency."""
        with tenant_scope():
            currency = Tenant.objects.values_list("currency", flat=True).get(id=current_tenant())
        data = form.cleaned_data
        by = self._visitor(request).actor
        return set_budget(name=data["name"], limit=data["limit"], currency=currency, key_id=data.get("key_id"), by=by)

    def change_row(self, request: HttpRequest, row: Budget, form: Any) -> Budget:
        """`set_budget` with the new limit."""
        by, limit = self._visitor(request).actor, form.cleaned_data["limit"]
        return set_budget(name=row.name, limit=limit, currency=row.currency, key_id=row.key_id, by=by)
