"""Limits on spend, and what is spent and held of them."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantForeignKey, TenantOwned

from .columns import money


class Budget(TenantModel):
    """A hard limit on spend per calendar month (UTC), of the tenant or of one of its keys."""

    name = models.CharField(max_length=100)
    key_id = models.UUIDField(null=True, blank=True, help_text="Empty: all of the tenant's keys.")
    limit = money(validators=[MinValueValidator(Decimal(0))])
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="billing_budget_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="billing_budget_name"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="billing_budget_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class BudgetAccount(TenantModel):
    """A budget's month: what is spent, and what is held by calls under way."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_constraint=False, related_name="accounts")
    period_start = models.DateField()
    spent = money(db_default=Decimal(0))
    held = money(db_default=Decimal(0))

    class Meta:
        constraints = [
            TenantOwned(name="billing_budgetaccount_owned"),
            TenantForeignKey(name="billing_budgetaccount_budget", field="budget"),
            models.UniqueConstraint(fields=["tenant", "budget", "period_start"], name="billing_budgetaccount_once"),
            # What is spent may be: corrections of earlier periods are credits of the one in which they are made.
            models.CheckConstraint(condition=models.Q(held__gte=0), name="billing_budgetaccount_not_negative"),
        ]
