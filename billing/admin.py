"""Admin pages of billing: budgets, the ledger; plans, subscriptions and prices for platform staff."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.admin_base import BILLING, PLATFORM, AtriumAdmin, TenantAdmin, TenantForm
from tenants.models import ApiKey, Tenant
from tenants.scope import current_tenant, tenant_scope

from .models import (
    Budget,
    BudgetAccount,
    Plan,
    Price,
    Subscription,
    TenantPrice,
    UsageRecord,
    VarianceAccount,
    VarianceAlert,
)
from .plans import set_budget
from .reservations import plain

_MONTHS_OFFERED = 12


def this_month() -> date:
    """The first day of the current month (UTC), which is how periods are named."""
    return datetime.now(UTC).date().replace(day=1)


def recent_months() -> list[date]:
    """The months a list offers, newest first."""
    last = this_month()
    number = last.year * 12 + last.month - 1
    return [date((number - back) // 12, (number - back) % 12 + 1, 1) for back in range(_MONTHS_OFFERED)]


def amount_column(name: str, title: str) -> Callable[[Any, Any], str]:
    """A column that shows an amount with its currency, without the zeros that the database pads it with."""

    @display(description=title, ordering=name)
    def column(self: Any, row: Any) -> str:
        return f"{plain(getattr(row, name))} {row.currency}"

    return column


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


class MonthFilter(admin.SimpleListFilter):
    """One month of the ledger; a date hierarchy would read all of it to know which days there are."""

    title = "month"
    parameter_name = "month"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The last twelve."""
        return [(month.isoformat(), f"{month:%B %Y}") for month in recent_months()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """The month's lines."""
        month = chosen_month(request)
        return queryset.filter(period_start=month) if month else queryset


def chosen_month(request: HttpRequest) -> date | None:
    """The month that the filter names, if it names one."""
    wanted = request.GET.get(MonthFilter.parameter_name)
    return next((month for month in recent_months() if month.isoformat() == wanted), None)


@admin.register(UsageRecord)
class UsageAdmin(TenantAdmin):
    """The ledger, line by line, under the month's totals by model."""

    group, icon, label, area = BILLING, "receipt_long", "Usage", "usage"
    list_display = ("occurred_at", "operation", "model", "meter", "quantity", "shown_cost", "key")
    list_filter = (MonthFilter, "meter")
    search_fields = ("=request_id",)
    search_help_text = "The id of a request."
    ordering = ("-occurred_at",)
    list_before_template = "admin/month_totals.html"
    fields = (
        "occurred_at", "request_id", "attempt", "operation", "model", "meter", "quantity", "unit_price", "per",
        "estimated", "shown_cost", "key", "end_user", "period_start", "corrects",
    )  # fmt: skip
    readonly_fields = fields

    shown_cost = amount_column("cost", "Cost")

    @display(description="API key id")
    def key(self, row: UsageRecord) -> str:
        return str(row.key_id or "")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the totals of the month that the filter names, or of this one."""
        month = chosen_month(request) or this_month()
        context = {"month": month, "totals": self._totals(month) if self.may(request, "view") else []}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def _totals(self, month: date) -> list[dict[str, Any]]:
        """One query over the month: model, meter and currency with quantity and cost."""
        rows = UsageRecord.objects.filter(period_start=month).values("model", "meter", "currency")
        found = rows.annotate(quantity=Sum("quantity"), cost=Sum("cost")).order_by("model", "meter", "currency")
        return [{**row, "cost": plain(row["cost"])} for row in found]


@admin.register(Subscription)
class SubscriptionAdmin(TenantAdmin):
    """Which plan a tenant is on; staff change it."""

    group, icon = PLATFORM, "card_membership"
    offers = frozenset({"change"})
    list_display = ("plan",)
    list_select_related = ("plan",)
    list_filter = ("plan",)
    fields = ("tenant", "plan")
    readonly_fields = ("tenant",)


@admin.register(Plan)
class PlanAdmin(AtriumAdmin):
    """What customers buy."""

    icon = "sell"
    offers = frozenset({"add", "change"})
    list_display = ("name", "slug", "requests_per_minute", "tokens_per_minute", "concurrent_calls", "weight")
    search_fields = ("name", "slug")
    ordering = ("slug",)


@admin.register(Price)
class PriceAdmin(AtriumAdmin):
    """List prices and those of plans. Never changed: a new price is a new row with a later date."""

    icon = "payments"
    offers = frozenset({"add"})
    list_display = ("model", "meter", "shown_amount", "per", "plan", "valid_from")
    list_select_related = ("plan",)
    list_filter = ("meter", "plan")
    search_fields = ("model",)
    ordering = ("model", "meter", "-valid_from")

    shown_amount = amount_column("amount", "Price")


@admin.register(TenantPrice)
class TenantPriceAdmin(TenantAdmin):
    """Contracted prices. Never changed: a new price is a new row with a later date."""

    group, icon = PLATFORM, "request_quote"
    offers = frozenset({"add"})
    list_display = ("model", "meter", "shown_amount", "per", "valid_from")
    search_fields = ("model",)
    ordering = ("model", "meter", "-valid_from")
    add_fields = fields = ("model", "meter", "currency", "amount", "per", "valid_from")

    shown_amount = amount_column("amount", "Price")


class VarianceAdmin(AtriumAdmin):
    """What usage above holds cost the platform; written by settlements alone."""

    list_filter = ("currency",)
    search_fields = ("model", "=pseudonym")
    search_help_text = "A model, or a tenant's id."

    shown_amount = amount_column("amount", "Cost above the holds")

    @display(description="Tenant's id")
    def shown_pseudonym(self, row: VarianceAccount | VarianceAlert) -> str:
        return str(row.pseudonym)


@admin.register(VarianceAccount)
class VarianceAccountAdmin(VarianceAdmin):
    """By day: with the provider's bill beside it, this says what was never worth its hold."""

    icon, label = "balance", "Variance account"
    list_display = ("day", "model", "shown_pseudonym", "shown_amount", "calls")
    ordering = ("-day", "model", "pseudonym")
    fields = readonly_fields = ("day", "model", "shown_pseudonym", "shown_amount", "calls")


@admin.register(VarianceAlert)
class VarianceAlertAdmin(VarianceAdmin):
    """By hour: upstreams that reported more than they were asked for."""

    icon, label = "notification_important", "Variance alerts"
    list_display = ("hour", "model", "shown_pseudonym", "shown_amount", "calls", "raised_at")
    ordering = ("-hour", "model", "pseudonym")
    fields = readonly_fields = ("hour", "model", "shown_pseudonym", "shown_amount", "calls", "raised_at")
