"""Budgets, with what their current period has used of them, and the alerts they gave."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Case, DateField, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tenants.desk.base import TenantAdmin, TenantForm
from tenants.models import ApiKey
from tenants.scope import acting_for

from ..amounts import plain
from ..budgets.setting import USUAL_SHARES, change_budget, delete_budget, set_budget
from ..budgets.states import budget_states
from ..models import Budget, BudgetAccount, BudgetAlert
from ..models.budgets import today
from .columns import amount_column, this_month


class AmountInput(UnfoldAdminDecimalFieldWidget):
    """An amount without the zeros that its column keeps."""

    def format_value(self, value: Any) -> str | None:
        """Of what was typed, Django's."""
        return plain(value) if isinstance(value, Decimal) else super().format_value(value)


class BudgetForm(TenantForm):
    """A new budget, in the tenant's currency."""

    key_id: forms.ModelChoiceField = forms.ModelChoiceField(
        queryset=None, required=False, label="API key", help_text="Empty: all keys.", widget=UnfoldAdminSelectWidget
    )
    tag = forms.CharField(
        required=False,
        help_text="name = value: only calls with this allocation tag.",
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Staff see every tenant's keys and may pick a wrong one; what limits one key is the tenant's own to set.
        keys = ApiKey.objects.none() if self.visitor.staff else ApiKey.objects.filter(revoked_at=None).order_by("name")
        self.fields["key_id"].queryset = keys  # type: ignore[attr-defined]
        self.initial.setdefault("alert_shares", list(USUAL_SHARES))

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

    def clean_tag(self) -> tuple[str, str] | None:
        """Name and value."""
        name, equals, value = self.cleaned_data["tag"].partition("=")
        if not equals:
            if name.strip():
                raise ValidationError("Write it as name = value.")
            return None
        return name.strip(), value.strip()


#: What forms call the columns, and say of them.
_WORDS = {
    "limit": ("Limit", "In the tenant's currency, for each period."),
    "hard": ("Refuse calls beyond it", "Otherwise it only warns, and calls go on."),
    "alert_shares": (
        "Warn at",
        "Per cent of the limit, with commas: 50, 80, 100. At each, owners, admins and finance get an e-mail.",
    ),
    "period": ("Period", "Days and months are UTC. In total: from today on."),
}


@admin.register(Budget)
class BudgetAdmin(TenantAdmin):
    """Limits of a day, a month or in total, with what the current period has used of them."""

    icon, label, area = "savings", "All budgets", "budgets"
    empty_text = "No budget is set: nothing limits what calls may cost."
    offers = frozenset({"add", "change", "delete"})
    list_display = ("name", "scope", "shown_period", "shown_limit", "shown_spent", "shown_held", "shown_left")
    list_filter = ("period", "hard")
    search_fields = ("name",)
    ordering = ("name",)
    add_form = BudgetForm
    add_fields = ("name", "limit", "period", "hard", "key_id", "tag", "alert_shares")
    fields = (
        "name", "scope", "shown_period", "limit", "hard", "alert_shares", "currency", "shown_spent", "shown_held",
        "shown_left", "forecast", "created_at",
    )  # fmt: skip
    readonly_fields = (
        "scope", "shown_period", "currency", "shown_spent", "shown_held", "shown_left", "forecast", "created_at",
    )  # fmt: skip

    shown_limit = amount_column("limit", "Limit")
    shown_spent = amount_column("spent", "Spent")
    shown_held = amount_column("held", "Held by calls under way")
    shown_left = amount_column("left", "Left")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """In words for who sets one for the first time."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in _WORDS:
            field.label, field.help_text = _WORDS[db_field.name]
        if field is not None and db_field.name == "limit":
            field.widget = AmountInput()
        return field

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        """With the current period's figures, and the name of the key that it limits."""
        start = Case(
            When(period=Budget.Period.DAY, then=Value(today())),
            When(period=Budget.Period.MONTH, then=Value(this_month())),
            default=F("starts_on"),
            output_field=DateField(),
        )
        accounts = BudgetAccount.objects.filter(
            tenant_id=OuterRef("tenant_id"), budget_id=OuterRef("id"), period_start=OuterRef("start")
        )
        keys = ApiKey.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("key_id"))
        return (
            super()
            .get_queryset(request)
            .annotate(start=start)
            .annotate(
                spent=Coalesce(Subquery(accounts.values("spent")), Decimal(0)),
                held=Coalesce(Subquery(accounts.values("held")), Decimal(0)),
            )
            .annotate(left=F("limit") - F("spent") - F("held"), key_name=Subquery(keys.values("name")))
        )

    @display(description="Limits")
    def scope(self, row: Any) -> str:
        key = f"API key {row.key_name or row.key_id}" if row.key_id else "all keys"
        return f"{key}, {row.tag_name} = {row.tag_value}" if row.tag_name else key

    @display(description="Period", ordering="period")
    def shown_period(self, row: Budget) -> str:
        return f"in total since {row.starts_on}" if row.period == Budget.Period.TOTAL else row.get_period_display()

    @display(description="Forecast")
    def forecast(self, row: Budget) -> str:
        with acting_for(row.tenant_id):
            state = next((one for one in budget_states(now=datetime.now(UTC)) if one.budget.id == row.id), None)
        if state is None or (state.projected is None and state.runs_out_at is None):
            return "too early to say"
        ends = f"; the limit is reached on {state.runs_out_at:%Y-%m-%d at %H:%M} UTC" if state.runs_out_at else ""
        heading = f"{plain(state.projected)} {row.currency} at the period's end" if state.projected is not None else ""
        return f"{heading}{ends}".removeprefix("; ")

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Budget:
        """`set_budget`, in the tenant's currency."""
        data = form.cleaned_data
        named = {name: data.get(name) for name in self.add_fields}
        return set_budget(**named, by=self._visitor(request).actor)

    def change_row(self, request: HttpRequest, row: Budget, form: Any) -> Budget:
        """`change_budget` with what is new."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        return change_budget(budget_id=row.id, by=self._visitor(request).actor, **changes)

    def delete_row(self, request: HttpRequest, row: Budget) -> None:
        """`delete_budget`."""
        delete_budget(budget_id=row.id, by=self._visitor(request).actor)


@admin.register(BudgetAlert)
class BudgetAlertAdmin(TenantAdmin):
    """What budgets warned of. There is nothing but to read."""

    icon, label, area = "notification_important", "Budget alerts", "budgets"
    empty_text = "No budget has warned yet."
    list_display = ("created_at", "budget", "kind", "shown_share", "shown_spent", "shown_limit", "period_start")
    list_select_related = ("budget",)
    list_filter = ("kind",)
    search_fields = ("budget__name",)
    ordering = ("-created_at",)
    fields = readonly_fields = (
        "created_at", "budget", "kind", "shown_share", "shown_spent", "shown_limit", "shown_projected", "period_start",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetAlert]:
        """With the budget's currency."""
        return super().get_queryset(request).annotate(currency=F("budget__currency"))

    shown_spent = amount_column("spent", "Spent")
    shown_limit = amount_column("limit", "Limit")

    @display(description="Share", ordering="share")
    def shown_share(self, row: BudgetAlert) -> str:
        return f"{row.share} %"

    @display(description="Projected")
    def shown_projected(self, row: BudgetAlert) -> str:
        return "" if row.projected is None else f"{plain(row.projected)} {row.budget.currency}"
