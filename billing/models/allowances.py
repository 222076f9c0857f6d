"""Units that a plan or a contract includes in each month: dated by month, never changed."""

from django.db import models

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .meters import Meter
from .plans import Plan
from .prices import Entry

_FROM_THE_FIRST = models.Q(valid_from__day=1)


class AllowanceBase(Entry):
    """So many units of a meter are free in each calendar month (UTC) from `valid_from` on, until a later row.

    It begins with a month, so that no month has two. One without a model covers all models together; a row for a model
    goes before it. Zero units end what an earlier row, or the plan, allowed.
    """

    model = models.CharField(max_length=200, default="", db_default="", blank=True, help_text="Empty: any model.")
    meter = models.CharField(max_length=32, choices=Meter)
    quantity = models.PositiveBigIntegerField(help_text="Units a month.")
    valid_from = models.DateField(help_text="The first day of a month.")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.quantity} {self.meter} of {self.model or 'any model'} a month"


class PlanAllowance(AllowanceBase):
    """What a plan includes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT)

    app_may = ("SELECT",)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "meter", "model", "valid_from"], name="billing_planallowance_once"),
            models.CheckConstraint(condition=_FROM_THE_FIRST, name="billing_planallowance_month"),
        ]


class TenantAllowance(AllowanceBase, TenantModel):
    """What a contract includes: instead of what the plan does."""

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="billing_tenantallowance_owned"),
            models.UniqueConstraint(
                fields=["tenant", "meter", "model", "valid_from"], name="billing_tenantallowance_once"
            ),
            models.CheckConstraint(condition=_FROM_THE_FIRST, name="billing_tenantallowance_month"),
        ]
