"""Limits on spend and on tokens, what is used and held of them, and the alerts they gave."""

from datetime import UTC, date, datetime
from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantForeignKey, TenantOwned

from .columns import money


def today() -> date:
    """The day, UTC."""
    return datetime.now(UTC).date()


class Budget(TenantModel):
    """A limit on spend: of the tenant, of one of its keys, of what has a tag; for a day, a month (UTC) or in total."""

    class Period(models.TextChoices):
        DAY = "day"
        MONTH = "month"
        TOTAL = "total"

    name = models.CharField(max_length=100)
    key_id = models.UUIDField(null=True, blank=True, help_text="Empty: all of the tenant's keys.")
    tag_name = models.CharField(max_length=64, default="", db_default="", blank=True, help_text="Empty: any call.")
    tag_value = models.CharField(max_length=256, default="", db_default="", blank=True)
    period = models.CharField(max_length=8, choices=Period, default=Period.MONTH, db_default=Period.MONTH)
    starts_on = models.DateField(default=today, help_text="A total counts from this day on.")
    hard = models.BooleanField(
        default=True, db_default=True, help_text="Calls beyond it are refused. A soft one only warns."
    )
    limit = money(validators=[MinValueValidator(Decimal(0))])
    currency = models.CharField(max_length=3)
    alert_shares = ArrayField(
        models.PositiveSmallIntegerField(),
        default=list,
        db_default=[],
        blank=True,
        help_text="Percent of the limit at which it warns, once a period each.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_budget_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="billing_budget_name"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="billing_budget_not_negative"),
            models.CheckConstraint(
                condition=models.Q(tag_name="", tag_value="") | ~(models.Q(tag_name="") | models.Q(tag_value="")),
                name="billing_budget_tag",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BudgetAccount(TenantModel):
    """A budget's period: what is spent, and what is held by calls under way.

    `spent` is the sum of the ledger's rows of the period that fall under the budget.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_constraint=False, related_name="accounts")
    period_start = models.DateField()
    spent = money(db_default=Decimal(0))
    held = money(db_default=Decimal(0))

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_budgetaccount_owned"),
            TenantForeignKey(name="billing_budgetaccount_budget", field="budget"),
            models.UniqueConstraint(fields=["tenant", "budget", "period_start"], name="billing_budgetaccount_once"),
            # What is spent may be: corrections of earlier periods are credits of the one in which they are made.
            models.CheckConstraint(condition=models.Q(held__gte=0), name="billing_budgetaccount_not_negative"),
        ]


class BudgetAlert(TenantModel):
    """A budget reached a share of its limit, or is on its way beyond it: told once a period and limit."""

    class Kind(models.TextChoices):
        SHARE = "share", "Share reached"
        FORECAST = "forecast", "Will be exceeded"

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_constraint=False, related_name="alerts")
    period_start = models.DateField()
    kind = models.CharField(max_length=8, choices=Kind)
    share = models.PositiveSmallIntegerField(help_text="Percent of the limit.")
    limit = money()
    spent = money()
    projected = money(null=True, help_text="By the period's end, at the pace until now.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT", "DELETE")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_budgetalert_owned"),
            TenantForeignKey(name="billing_budgetalert_budget", field="budget"),
            models.UniqueConstraint(
                fields=["tenant", "budget", "period_start", "kind", "share", "limit"], name="billing_budgetalert_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.share} %"


class TokenAccount(TenantModel):
    """A month of a token quota, of the tenant or of one of its keys: what is used, and held by calls under way."""

    key_id = models.UUIDField(null=True)
    period_start = models.DateField()
    used = models.BigIntegerField(default=0, db_default=0)
    held = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            TenantOwned(name="billing_tokenaccount_owned"),
            models.UniqueConstraint(
                fields=["tenant", "key_id", "period_start"], nulls_distinct=False, name="billing_tokenaccount_once"
            ),
            models.CheckConstraint(
                condition=models.Q(used__gte=0, held__gte=0), name="billing_tokenaccount_not_negative"
            ),
        ]
